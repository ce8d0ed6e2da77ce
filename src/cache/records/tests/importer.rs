//! What BuildKit does with a config that it imports: `Parse` and `CacheChains.Add` of v0.25 (Docker 28), by their rules.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

/// How often a record is taken for another one, or the reason for which the import fails.
pub(super) fn import(config: &Value) -> Result<usize, String> {
    let records = config["records"].as_array().ok_or("no records")?;
    let mut roots = BTreeSet::new();
    // By source, selector, input and digest: the records that have this link.
    let mut children = HashMap::<(u64, &str, usize, &str), BTreeSet<usize>>::new();
    let mut united = 0;
    for (index, record) in records.iter().enumerate() {
        let digest = record["digest"].as_str().ok_or("no digest")?;
        let mut links = Vec::new();
        for (input, alternatives) in record["inputs"].as_array().into_iter().flatten().enumerate() {
            let alternatives = alternatives.as_array().filter(|list| !list.is_empty()).ok_or("invalid empty input")?;
            let mut keys = Vec::new();
            for link in alternatives {
                let source =
                    link["link"].as_u64().filter(|source| *source < index as u64).ok_or("invalid record ID")?;
                keys.push((source, link["selector"].as_str().unwrap_or(""), input, digest));
            }
            links.push(keys);
        }
        if links.is_empty() {
            united += usize::from(!roots.insert(digest));
            continue;
        }
        // The number of inputs is not looked at.
        let candidates = |keys: &Vec<(u64, &str, usize, &str)>| -> BTreeSet<usize> {
            keys.iter().filter_map(|key| children.get(key)).flatten().copied().collect()
        };
        let same = links.iter().map(candidates).reduce(|one, other| &one & &other).unwrap_or_default();
        united += same.len();
        for key in links.into_iter().flatten() {
            children.entry(key).or_default().insert(index);
        }
    }
    Ok(united)
}

#[test]
fn it_unites_what_shares_an_alternative_of_every_input() {
    use serde_json::json;

    let root = |digest: &str| json!({"digest": digest});
    let run = |links: &[u64]| {
        let links: Vec<_> = links.iter().map(|link| json!({"link": link})).collect();
        json!({"digest": "run", "inputs": [links]})
    };
    let import = |last: &[Value]| {
        let records = [&[root("a"), root("b")], last].concat();
        import(&json!({"records": records}))
    };
    assert_eq!(import(&[run(&[0]), run(&[1])]), Ok(0));
    assert_eq!(import(&[run(&[0]), run(&[1]), run(&[0, 1])]), Ok(2));
    assert_eq!(import(&[root("a")]), Ok(1));
    assert!(import(&[run(&[])]).is_err());
}
