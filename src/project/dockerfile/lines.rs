//! From text to instructions: BuildKit's line splitter (`frontend/dockerfile/parser`).
//!
//! It knows parser directives, comments (also between continued lines), continuation, builder flags and heredocs.

use super::DockerfileError;
use super::expand::words;

/// Lines of the file, from 1, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lines {
    /// Where it begins.
    pub first: u32,
    /// Where it ends, its heredocs included.
    pub last: u32,
}

/// One instruction of a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// In upper case; known or not.
    pub keyword: String,
    /// `--name=value`, quotes and escapes taken away.
    pub flags: Vec<String>,
    /// The rest, continued lines joined, without heredoc bodies.
    pub arguments: String,
    /// Where it stands.
    pub lines: Lines,
}

impl Instruction {
    /// The values of a flag, in their order.
    pub(super) fn flag<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.flags.iter().filter_map(move |flag| flag.strip_prefix("--")?.strip_prefix(name)?.strip_prefix('='))
    }
}

/// What the splitter found.
#[derive(Debug)]
pub(super) struct Split {
    pub(super) escape: char,
    pub(super) instructions: Vec<Instruction>,
}

pub(super) fn split(text: &str) -> Result<Split, DockerfileError> {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let mut lines = Numbered { lines: text.split_inclusive('\n'), number: 0 };
    let mut directives = Directives { escape: '\\', done: false };
    let mut instructions = Vec::new();
    while let Some(line) = lines.next() {
        let line = trim_newline(line).trim_start();
        directives.read(line, lines.number)?;
        let first = lines.number;
        let (start, mut open) = continued(if line.starts_with('#') { "" } else { line }, directives.escape);
        if start.is_empty() && !open {
            continue;
        }
        let mut whole = start.to_owned();
        while open {
            let Some(line) = lines.next() else { break };
            let line = trim_newline(line);
            // Comments and empty lines do not end a continued instruction.
            if line.trim_start().is_empty() || line.trim_start().starts_with('#') {
                continue;
            }
            let (part, more) = continued(line, directives.escape);
            whole.push_str(part);
            open = more;
        }
        let mut instruction = parse_instruction(&whole, directives.escape, first);
        for heredoc in heredocs(&instruction, &whole) {
            lines.skip_heredoc(&heredoc, first)?;
        }
        instruction.lines.last = lines.number;
        // A continuation of nothing.
        if !instruction.keyword.is_empty() {
            instructions.push(instruction);
        }
    }
    Ok(Split { escape: directives.escape, instructions })
}

struct Numbered<'a> {
    lines: std::str::SplitInclusive<'a, char>,
    number: u32,
}

impl<'a> Numbered<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let line = self.lines.next()?;
        self.number += 1;
        Some(line)
    }

    fn skip_heredoc(&mut self, heredoc: &Heredoc, first: u32) -> Result<(), DockerfileError> {
        while let Some(line) = self.next() {
            let line = trim_newline(line);
            let line = if heredoc.strip_tabs { line.trim_start_matches('\t') } else { line };
            if line == heredoc.name {
                return Ok(());
            }
        }
        Err(DockerfileError::UnterminatedHeredoc { name: heredoc.name.clone(), line: first })
    }
}

/// `# escape=` and the like, which stand before everything else.
struct Directives {
    escape: char,
    done: bool,
}

impl Directives {
    fn read(&mut self, line: &str, number: u32) -> Result<(), DockerfileError> {
        if self.done {
            return Ok(());
        }
        match directive(line, "#") {
            Some(("escape", value)) => {
                self.escape = match value {
                    "\\" => '\\',
                    "`" => '`',
                    value => return Err(DockerfileError::InvalidEscape { value: value.to_owned(), line: number }),
                };
            }
            Some(_) => {}
            None => self.done = true,
        }
        Ok(())
    }
}

/// A parser directive's name and value; its name is known and given in lower case.
fn directive<'a>(line: &'a str, comment: &str) -> Option<(&'static str, &'a str)> {
    let (name, value) = line.strip_prefix(comment)?.trim_start().split_once('=')?;
    let name = name.trim_end();
    let known = ["syntax", "escape", "check"].into_iter().find(|known| name.eq_ignore_ascii_case(known))?;
    let value = value.trim();
    (!value.is_empty()).then_some((known, value))
}

/// The frontend image of a `# syntax=` directive (`DetectSyntax` upstream; its JSON form is not read).
pub(super) fn syntax(text: &str) -> Option<&str> {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let text = if text.starts_with("#!") { text.split_once('\n')?.1 } else { text };
    ["#", "//"].into_iter().find_map(|comment| {
        let mut directives = text.lines().map_while(|line| directive(line, comment));
        let (_, value) = directives.find(|(name, _)| *name == "syntax")?;
        value.split(' ').next()
    })
}

/// A line without its continuation character, and whether it had one.
fn continued(line: &str, escape: char) -> (&str, bool) {
    match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
        // An escaped escape character is itself.
        Some(rest) if !rest.ends_with(escape) => (rest, true),
        _ => (line, false),
    }
}

fn trim_newline(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

fn parse_instruction(line: &str, escape: char, first: u32) -> Instruction {
    let line = line.trim();
    let (keyword, rest) = line.split_once(['\t', '\x0B', '\x0C', '\r', ' ']).unwrap_or((line, ""));
    let (flags, arguments) = flags(rest.trim_start(), escape);
    Instruction {
        keyword: keyword.to_ascii_uppercase(),
        flags,
        arguments: arguments.trim().to_owned(),
        lines: Lines { first, last: first },
    }
}

/// Words that begin with two dashes, up to the first that does not or is just `--`; and the rest.
fn flags(line: &str, escape: char) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = line.trim_start();
    while rest.starts_with("--") {
        let (word, after) = flag_word(rest, escape);
        rest = after.trim_start();
        if word == "--" {
            break;
        }
        flags.push(word);
    }
    (flags, rest)
}

fn flag_word(text: &str, escape: char) -> (String, &str) {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, None) if c.is_whitespace() => break,
            (c @ ('\'' | '"'), None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (c, _) if c == escape => word.extend(chars.next()),
            (c, _) => word.push(c),
        }
    }
    (word, chars.as_str())
}

#[derive(Debug, PartialEq, Eq)]
struct Heredoc {
    name: String,
    /// `<<-`.
    strip_tabs: bool,
}

/// The heredocs that an instruction announces, in their order.
fn heredocs(instruction: &Instruction, line: &str) -> Vec<Heredoc> {
    if !line.contains("<<") || !takes_heredocs(instruction) {
        return Vec::new();
    }
    words(line, true, true).unwrap_or_default().iter().filter_map(|word| heredoc(word)).collect()
}

fn takes_heredocs(instruction: &Instruction) -> bool {
    match instruction.keyword.as_str() {
        "RUN" | "COPY" | "ADD" => serde_json::from_str::<Vec<String>>(&instruction.arguments).is_err(),
        "ONBUILD" => takes_heredocs(&parse_instruction(&instruction.arguments, '\\', 0)),
        _ => false,
    }
}

/// `[descriptor]<<[-]word`, where the word may be quoted.
fn heredoc(word: &str) -> Option<Heredoc> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (rest, strip_tabs) = rest.strip_prefix('-').map_or((rest, false), |rest| (rest, true));
    let rest = rest.trim_start();
    if rest.contains('<') {
        return None;
    }
    match <[String; 1]>::try_from(words(rest, false, false).ok()?) {
        Ok([name]) => Some(Heredoc { name, strip_tabs }),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Heredoc, heredoc, split, syntax};
    use crate::project::dockerfile::DockerfileError;
    use proptest::prelude::*;

    /// `first-last KEYWORD flags | arguments` for each instruction.
    fn shown(text: &str) -> Vec<String> {
        split(text)
            .unwrap()
            .instructions
            .iter()
            .map(|found| {
                let flags = found.flags.iter().map(|flag| format!(" {flag}")).collect::<String>();
                format!("{}-{} {}{flags} | {}", found.lines.first, found.lines.last, found.keyword, found.arguments)
            })
            .collect()
    }

    #[test]
    fn joins_what_is_continued() {
        for (text, expected) in [
            ("FROM a\nRUN x", &["1-1 FROM | a", "2-2 RUN | x"][..]),
            ("\u{FEFF}from a\r\nrun x \\\r\n  y\r\n", &["1-1 FROM | a", "2-3 RUN | x   y"]),
            (
                "FROM a\n\n# c\n  RUN x \\\n# comment \\\n\n  y \\  \n z\nCMD a",
                &["1-1 FROM | a", "4-8 RUN | x   y  z", "9-9 CMD | a"],
            ),
            ("RUN x \\\\\nRUN y", &["1-1 RUN | x \\\\", "2-2 RUN | y"]),
            ("# escape=`\nRUN x `\n y \\\nRUN z", &["2-3 RUN | x  y \\", "4-4 RUN | z"]),
            ("# comment\n# escape=`\nRUN x \\\n y", &["3-4 RUN | x  y"]),
            ("RUN x \\", &["1-1 RUN | x"]),
            ("\\\nRUN x", &["1-2 RUN | x"]),
            ("RUN\techo  hi", &["1-1 RUN | echo  hi"]),
            ("UNKNOWN thing", &["1-1 UNKNOWN | thing"]),
            ("", &[]),
            ("\\\n", &[]),
        ] {
            assert_eq!(shown(text), expected, "{text:?}");
        }
    }

    #[test]
    fn takes_flags_apart() {
        for (line, expected) in [
            ("COPY --from=a --chown=1:1 x y", "COPY --from=a --chown=1:1 | x y"),
            (
                "RUN --mount=type=bind,from=a \\\n --network=none make --all",
                "RUN --mount=type=bind,from=a --network=none | make --all",
            ),
            ("RUN --mount='type=cache,target=/a b' x", "RUN --mount=type=cache,target=/a b | x"),
            ("RUN -- --x", "RUN | --x"),
            ("RUN --a", "RUN --a |"),
        ] {
            assert_eq!(shown(line)[0].trim_end().split_once(' ').unwrap().1, expected, "{line}");
        }
    }

    #[test]
    fn skips_heredocs() {
        for (text, expected) in [
            ("RUN <<EOF\nFROM x\nEOF\nRUN y", &["1-3 RUN | <<EOF", "4-4 RUN | y"][..]),
            ("RUN cat << EOF > /f\nx\nEOF\nRUN y", &["1-3 RUN | cat << EOF > /f", "4-4 RUN | y"]),
            (
                "RUN <<A cat > a && <<B cat > b\n1\nA\n2\nB\nCMD x",
                &["1-5 RUN | <<A cat > a && <<B cat > b", "6-6 CMD | x"],
            ),
            ("COPY <<-\"E F\" /a\n\tE F\nRUN y", &["1-2 COPY | <<-\"E F\" /a", "3-3 RUN | y"]),
            ("RUN python3 3<<EOF\r\nprint()\r\nEOF\r\nRUN y", &["1-3 RUN | python3 3<<EOF", "4-4 RUN | y"]),
            ("ONBUILD RUN <<EOF\nx\nEOF\nRUN y", &["1-3 ONBUILD | RUN <<EOF", "4-4 RUN | y"]),
            ("RUN echo $((1<<2))\nRUN y", &["1-1 RUN | echo $((1<<2))", "2-2 RUN | y"]),
            ("RUN echo '<<EOF'\nRUN y", &["1-1 RUN | echo '<<EOF'", "2-2 RUN | y"]),
            ("RUN cat <<<\"str\"\nRUN y", &["1-1 RUN | cat <<<\"str\"", "2-2 RUN | y"]),
            ("RUN [\"cat\", \"<<EOF\"]\nRUN y", &["1-1 RUN | [\"cat\", \"<<EOF\"]", "2-2 RUN | y"]),
            ("CMD cat <<EOF\nRUN y", &["1-1 CMD | cat <<EOF", "2-2 RUN | y"]),
        ] {
            assert_eq!(shown(text), expected, "{text:?}");
        }
        assert_eq!(
            split("FROM a\nRUN <<EOF\nx").unwrap_err(),
            DockerfileError::UnterminatedHeredoc { name: "EOF".to_owned(), line: 2 }
        );
        assert_eq!(heredoc("<<'a'"), Some(Heredoc { name: "a".to_owned(), strip_tabs: false }));
        assert_eq!(heredoc("<<"), None);
    }

    #[test]
    fn refuses_an_unknown_escape_character() {
        let expected = DockerfileError::InvalidEscape { value: "x".to_owned(), line: 1 };
        assert_eq!(split("# escape=x\nFROM a").unwrap_err(), expected);
    }

    #[test]
    fn finds_the_syntax_directive() {
        for (text, expected) in [
            ("# syntax=docker/dockerfile:1\nFROM a", Some("docker/dockerfile:1")),
            ("#escape=`\n#SYNTAX = a/b:1 with arguments\n", Some("a/b:1")),
            ("#!/usr/bin/env x\n# syntax=a", Some("a")),
            ("// syntax=a/b\n{}", Some("a/b")),
            ("# a comment\n# syntax=a", None),
            ("\n# syntax=a", None),
            ("FROM a", None),
        ] {
            assert_eq!(syntax(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_lines_ascend(text in "(RUN |COPY |FROM |# |<<E|E|\\\\|`|\n|\r\n|--x=|'|\"|a| |\\[){0,24}") {
            if let Ok(split) = split(&text) {
                let mut last = 0;
                for instruction in split.instructions {
                    prop_assert!(last < instruction.lines.first && instruction.lines.first <= instruction.lines.last);
                    last = instruction.lines.last;
                }
            }
        }
    }
}
