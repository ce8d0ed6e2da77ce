//! Generations: builds in a row, before each a random loss of builder cache and a random edit.
//!
//! For every generation: the images are those of a build without cache (nothing stale), every step that the last
//! generation had is cached whatever the builder lost (no lost hit), and what did not change keeps its image id.
//! The expectation is computed (`model`); Docker's own build without cache says whether it is right, of the last
//! generation on the same engine, and of every generation where there is an engine for it (`scripts/test
//! --generations`), because such a build fills the builder that the test empties.

mod inputs;
mod loss;
mod model;
mod project;
mod random;
mod recipe;
mod served;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::io::Write;
use std::rc::Rc;

use inputs::{Edit, Inputs};
use loss::Loss;
use model::Made;
use project::Site;
use random::{Bag, Random};
use recipe::Recipe;
use tree::{Image, Images, differences};

use crate::support::{Engine, on_every_engine, unique};

/// Where nobody asks for another seed or number.
const SEED: u64 = 3;
const GENERATIONS: u32 = 8;

on_every_engine!(no_generation_is_stale_or_loses_a_hit, |engine| {
    let mut run = Run::new(engine);
    for number in 0..run.generations {
        if let Err(problems) = run.generation(number) {
            panic!("{}", run.story(number, &problems));
        }
        std::io::stdout().write_all(run.progress().as_bytes()).unwrap();
    }
    run.remove();
    std::io::stdout().write_all(run.tally().as_bytes()).unwrap();
});

/// All generations of one engine.
struct Run {
    seed: u64,
    generations: u32,
    random: Random,
    edits: Bag<Edit>,
    losses: Bag<Loss>,
    images: Images,
    site: Site,
    /// The engine for builds without cache, if there is one besides.
    reference: Option<Site>,
    recipe: Recipe,
    /// Whether one run builds all images at the same time, or one run each.
    together: bool,
    /// The inputs of all generations so far.
    history: Vec<Inputs>,
    /// Keys of every step that any generation had.
    known: BTreeSet<u64>,
    last: Option<Generation>,
    told: Vec<String>,
    /// Steps of a second image that were lost behind those of the first ([`Run::is_behind_the_first`]).
    behind: u32,
    /// What the last build said.
    log: String,
    reused: u32,
    made_anew: u32,
}

/// What is kept of a generation for the next.
struct Generation {
    keys: BTreeSet<u64>,
    definitions: BTreeSet<u64>,
    made: BTreeMap<&'static str, Made>,
    images: BTreeMap<&'static str, Rc<Image>>,
}

/// The steps of a generation.
#[derive(Default)]
struct Steps {
    keys: BTreeSet<u64>,
    definitions: BTreeSet<u64>,
    /// Keys of those that were lost behind the first image's.
    behind: BTreeSet<u64>,
}

impl Run {
    fn new(engine: &Engine) -> Self {
        let number = |name: &str| env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
        let seed = number("WATCHPARTY_TEST_SEED").unwrap_or(SEED);
        let generations = number("WATCHPARTY_TEST_GENERATIONS").map_or(GENERATIONS, |n| n.try_into().unwrap());
        // The engines go different ways.
        let mut random =
            Random::new(engine.name.bytes().fold(seed, |seed, byte| seed.rotate_left(8) ^ u64::from(byte)));
        let name = unique("generations");
        let reference = env::var("WATCHPARTY_TEST_REFERENCE")
            .ok()
            .map(|address| Site::new(&Engine { name: "28-graph".to_owned(), address }, &name));
        Self {
            seed,
            generations,
            recipe: Recipe::grow(&format!("{name}-base"), &mut random),
            together: random.once_in(2),
            random,
            edits: Bag::new(&Edit::ALL),
            losses: Bag::new(&Loss::ALL),
            images: Images::default(),
            site: Site::new(engine, &name),
            reference,
            history: vec![Inputs::new(&name)],
            known: BTreeSet::new(),
            last: None,
            told: Vec::new(),
            behind: 0,
            log: String::new(),
            reused: 0,
            made_anew: 0,
        }
    }

    /// One build, and what is wrong with it.
    fn generation(&mut self, number: u32) -> Result<(), Vec<String>> {
        let inputs = self.prepare(number);
        let base = self.site.base(&inputs);
        let made = model::make(&self.recipe, &inputs, base);
        let base_layers = base.layers.len();
        self.site.write(&self.recipe, &inputs);
        let reported = self.build(&inputs)?;
        let images: BTreeMap<&'static str, Rc<Image>> = Recipe::TARGETS
            .into_iter()
            .map(|target| (target, self.images.read(&self.site.engine, &self.site.image(target))))
            .collect();
        let mut problems = self.check_content(number, &inputs, &made, &images);
        let Steps { keys, definitions, behind } = self.check_steps(&made, &reported, &mut problems);
        if let Some(last) = &self.last {
            problems.extend(check_layers(last, &made, &images, base_layers, &behind));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        self.known.extend(&keys);
        self.last = Some(Generation { keys, definitions, made, images });
        Ok(())
    }

    /// Builds both images; gives what is said of each.
    fn build(&mut self, inputs: &Inputs) -> Result<BTreeMap<&'static str, serde_json::Value>, Vec<String>> {
        let mut reported = BTreeMap::new();
        self.log.clear();
        for services in Recipe::TARGETS.chunks(if self.together { Recipe::TARGETS.len() } else { 1 }) {
            let finished = self.site.build(services, inputs);
            self.log += &format!("{}\n{}\n", finished.stdout, finished.stderr);
            let warnings = finished.stdout.lines().filter(|line| line.starts_with("warning: "));
            self.told.extend(warnings.map(str::to_owned));
            if finished.code != Some(0) {
                return Err(vec!["the build failed".to_owned()]);
            }
            let result = finished.result();
            for service in services {
                let images = result["images"].as_array().unwrap();
                let image = images.iter().find(|image| image["name"] == *service).unwrap();
                reported.insert(*service, image.clone());
            }
        }
        Ok(reported)
    }

    /// Loses and edits; gives the new inputs.
    fn prepare(&mut self, number: u32) -> Inputs {
        let mut inputs = self.history.last().unwrap().clone();
        if number == 0 {
            let how = if self.together { "both images at the same time" } else { "one image after the other" };
            self.told.push(format!("generation 0: the first build, {how}"));
            return inputs;
        }
        let loss = self.losses.draw(&mut self.random);
        let mut edits = vec![self.edits.draw(&mut self.random)];
        if self.random.once_in(4) {
            edits.push(self.edits.draw(&mut self.random));
        }
        let told: Vec<String> =
            edits.iter().map(|edit| inputs.edit(*edit, number, &self.history, &mut self.random)).collect();
        let lost = loss.befall(&self.site.engine, &mut self.random);
        self.told.push(format!("generation {number}: {}; {lost}", told.join(", ")));
        self.history.push(inputs.clone());
        inputs
    }

    /// Nothing is stale: the images are what a build without cache makes.
    fn check_content(
        &mut self,
        number: u32,
        inputs: &Inputs,
        made: &BTreeMap<&'static str, Made>,
        images: &BTreeMap<&'static str, Rc<Image>>,
    ) -> Vec<String> {
        let mut problems = Vec::new();
        for (target, image) in images {
            let expected = &made[target];
            let stale = differences((&expected.tree, &expected.config), image);
            problems.extend(stale.iter().map(|line| format!("{target} is not what the model says: {line}")));
        }
        // One of the two images, in turns: such a build takes longer than all the rest.
        let turn = usize::try_from(number).unwrap() % Recipe::TARGETS.len();
        let target = Recipe::TARGETS[turn];
        let last = number + 1 == self.generations;
        let reference = self.reference.as_mut().or_else(|| last.then_some(&mut self.site));
        if let Some(reference) = reference {
            reference.base(inputs);
            reference.write(&self.recipe, inputs);
            let fresh = reference.build_without_cache(target, inputs);
            let stale = differences((&fresh.tree, &fresh.config), &images[target]);
            problems.extend(stale.iter().map(|line| format!("{target} is not what no cache makes: {line}")));
        }
        problems
    }

    /// Whether BuildKit itself loses this step of an image, which no offer prevents (`image_cache::behind` shows it with
    /// Docker's own client).
    ///
    /// A stage was made anew with the same content. What copies from it is found by that content, in the records; the first
    /// image that needs it puts it into the builder, under a new key, with as much as this image takes of what stands upon
    /// it. From then on the builder finds it by its own keys, and does not look into the records, whose keys they are not:
    /// of a second image, what stands upon it there alone is not found.
    ///
    /// What ran for the second image of a run is said to have run for the first one as well, whose own build found it.
    fn is_behind_the_first(&self, target: &str, step: &model::Step, name: &str) -> bool {
        let was_defined = self.last.as_ref().is_some_and(|last| last.definitions.contains(&step.definition));
        let is_the_seconds = target != Recipe::TARGETS[0] || (self.together && was_found(&self.log, target, name));
        is_the_seconds && !was_defined
    }

    /// No hit is lost, and none is false.
    fn check_steps(
        &mut self,
        made: &BTreeMap<&'static str, Made>,
        reported: &BTreeMap<&'static str, serde_json::Value>,
        problems: &mut Vec<String>,
    ) -> Steps {
        let mut steps_now = Steps::default();
        // The steps that both images have run once, in one of the two builds.
        let mut cached_everywhere: BTreeMap<u64, (bool, String)> = BTreeMap::new();
        for target in Recipe::TARGETS {
            let image = &reported[target];
            for stage in self.recipe.needed_by(target) {
                let reported = image["steps"].as_array().unwrap().iter().filter(|step| step["stage"] == stage.name);
                let reported: Vec<&serde_json::Value> = reported.collect();
                let steps = &made[stage.name].steps;
                assert_eq!(reported.len(), steps.len(), "steps of {target}, stage {}: {image}", stage.name);
                for (step, reported) in steps.iter().zip(reported) {
                    let cached = reported["cached"].as_bool().unwrap();
                    assert!(
                        reported["name"].as_str().unwrap().ends_with(&step.text),
                        "{reported} is not {}",
                        step.text
                    );
                    let told = format!("{target}: {} ({})", reported["name"], reported["source"]);
                    let required = self.last.as_ref().is_some_and(|last| last.keys.contains(&step.key));
                    if required && !cached {
                        if self.is_behind_the_first(target, step, reported["name"].as_str().unwrap()) {
                            self.behind += 1;
                            self.told.push(format!("behind the steps of the first image: {told}"));
                            steps_now.behind.insert(step.key);
                        } else {
                            problems.push(format!("lost hit: {told}"));
                        }
                    }
                    steps_now.definitions.insert(step.definition);
                    let everywhere = cached_everywhere.entry(step.key).or_insert((true, told));
                    everywhere.0 &= cached;
                }
            }
        }
        let false_hits = cached_everywhere.iter().filter(|(key, (cached, _))| *cached && !self.known.contains(key));
        problems.extend(false_hits.map(|(_, (_, told))| format!("cached, and never built: {told}")));
        let reused = cached_everywhere.values().filter(|(cached, _)| *cached).count();
        self.reused += u32::try_from(reused).unwrap();
        self.made_anew += u32::try_from(cached_everywhere.len() - reused).unwrap();
        Steps { keys: cached_everywhere.into_keys().collect(), ..steps_now }
    }

    /// The last generation, for whoever watches (`--no-capture`).
    fn progress(&self) -> String {
        let Self { site, told, reused, made_anew, .. } = self;
        let last = told.iter().rfind(|line| line.starts_with("generation ")).map_or("", String::as_str);
        format!("{}: {reused} reused, {made_anew} run after {last}\n", site.engine.name)
    }

    fn tally(&self) -> String {
        let Self { seed, generations, site, reused, made_anew, behind, .. } = self;
        format!(
            "engine {}, seed {seed}: {generations} generations, {reused} steps reused, {made_anew} run, of them {behind} \
             behind the steps of another image\n",
            site.engine.name
        )
    }

    fn story(&self, number: u32, problems: &[String]) -> String {
        let Self { seed, site, told, log, recipe, history, .. } = self;
        let name = &site.engine.name;
        format!(
            "{log}\nengine {name}, seed {seed}, generation {number}:\n{}\n\nthe generations so far:\n  {}\n\n{}\n\
             again: scripts/test --generations {} --seed {seed} --engine {name}",
            problems.join("\n"),
            told.join("\n  "),
            recipe.dockerfile(history.last().unwrap()),
            number + 1,
        )
    }

    fn remove(&self) {
        self.site.remove();
        if let Some(reference) = &self.reference {
            reference.remove();
        }
    }
}

/// Whether the build of an image took a step from a cache, by the progress of a run that builds several.
fn was_found(log: &str, target: &str, name: &str) -> bool {
    let shown = name.replacen('[', &format!("[{target} "), 1);
    let mut of_builder = log.lines().filter_map(|line| line.strip_prefix('#')?.split_once(' '));
    let number = of_builder.clone().find(|(_, text)| text.contains(&shown)).map(|(number, _)| number);
    of_builder.any(|(of, text)| Some(of) == number && text.contains("CACHED"))
}

/// What is said to be reused is reused: the image has the very layers, and where nothing changed it is the same image.
fn check_layers(
    last: &Generation,
    made: &BTreeMap<&'static str, Made>,
    images: &BTreeMap<&'static str, Rc<Image>>,
    base_layers: usize,
    behind: &BTreeSet<u64>,
) -> Vec<String> {
    let mut problems = Vec::new();
    for target in Recipe::TARGETS {
        let (then, now) = (&last.made[target], &made[target]);
        let (image_then, image_now) = (&last.images[target], &images[target]);
        let keys = then.layers.iter().zip(&now.layers);
        let layers = image_then.layers.iter().zip(&image_now.layers).skip(base_layers);
        for (number, ((key_then, key_now), (layer_then, layer_now))) in keys.zip(layers).enumerate() {
            if key_then == key_now && layer_then != layer_now && !behind.contains(key_now) {
                problems.push(format!("{target}: layer {number} was made again: {layer_then} is now {layer_now}"));
            }
        }
        let was_lost = now.layers.iter().any(|key| behind.contains(key));
        if then.layers == now.layers && then.config == now.config && image_then.id != image_now.id && !was_lost {
            problems.push(format!("{target}: nothing changed, and {} is now {}", image_then.id, image_now.id));
        }
    }
    problems
}
