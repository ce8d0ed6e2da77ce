//! Workflow commands in a line of output: `ActionCommand.cs` of src/Runner.Common.

use std::collections::BTreeMap;

/// What the runner knows besides the token of `stop-commands` (`ActionCommandManager.cs`).
pub(super) const NAMES: [&str; 15] = [
    "add-mask",
    "add-matcher",
    "add-path",
    "debug",
    "echo",
    "endgroup",
    "error",
    "group",
    "notice",
    "remove-matcher",
    "save-state",
    "set-env",
    "set-output",
    "stop-commands",
    "warning",
];

/// A command, its name in lower case; names of properties do not depend on case either.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) name: String,
    pub(super) properties: BTreeMap<String, String>,
    pub(super) data: String,
}

impl Command {
    /// Reads `::name key=value,…::data` at the beginning of a line, else `##[name key=value;…]data` anywhere in it.
    pub(super) fn parse(line: &str, token: Option<&str>) -> Option<Self> {
        parse_v2(line, token).or_else(|| parse_v1(line, token))
    }

    pub(super) fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(&name.to_lowercase()).map(String::as_str)
    }
}

fn parse_v2(line: &str, token: Option<&str>) -> Option<Command> {
    let (head, data) = line.trim_start().strip_prefix("::")?.split_once("::")?;
    let (name, rest) = head.split_once(' ').unwrap_or((head, ""));
    let command = Command {
        name: known(name, token)?,
        properties: properties(rest.trim(), ',', &[("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ",")]),
        data: unescape(data, &[("%0D", "\r"), ("%0A", "\n")]),
    };
    Some(command)
}

fn parse_v1(line: &str, token: Option<&str>) -> Option<Command> {
    let escapes = [("%3B", ";"), ("%0D", "\r"), ("%0A", "\n"), ("%5D", "]")];
    let (_, rest) = line.split_once("##[")?;
    let (head, data) = rest.split_once(']')?;
    let (name, rest) = head.split_once(' ').unwrap_or((head, ""));
    let name = known(name, token)?;
    Some(Command { name, properties: properties(rest, ';', &escapes), data: unescape(data, &escapes) })
}

fn known(name: &str, token: Option<&str>) -> Option<String> {
    let name = name.to_lowercase();
    (NAMES.contains(&name.as_str()) || token.is_some_and(|token| token.to_lowercase() == name)).then_some(name)
}

/// Values that are empty are dropped.
fn properties(text: &str, separator: char, escapes: &[(&str, &str)]) -> BTreeMap<String, String> {
    text.split(separator)
        .filter_map(|pair| pair.split_once('='))
        .filter(|(name, value)| !name.is_empty() && !value.is_empty())
        .map(|(name, value)| (name.to_lowercase(), unescape(value, escapes)))
        .collect()
}

/// `%25` comes last.
fn unescape(text: &str, escapes: &[(&str, &str)]) -> String {
    let text = escapes.iter().fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain));
    text.replace("%25", "%")
}

#[cfg(test)]
mod tests {
    use super::Command;

    #[test]
    fn both_forms_of_a_command() {
        let command = |name: &str, properties: &[(&str, &str)], data: &str| {
            let properties = properties.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            Some(Command { name: name.to_owned(), properties, data: data.to_owned() })
        };
        for (line, expected) in [
            ("::error::x", command("error", &[], "x")),
            ("  \t::ERROR file=a%3Ab,line=7,title=::100%25%0Ano", {
                command("error", &[("file", "a:b"), ("line", "7")], "100%\nno")
            }),
            ("::group::a::b", command("group", &[], "a::b")),
            ("done ##[warning file=a%3Bb;line=3]x%5D", command("warning", &[("file", "a;b"), ("line", "3")], "x]")),
            ("::t0ken::", command("t0ken", &[], "")),
            ("::error", None),
            ("std::fs::read", None),
            ("x ::error::y", None),
            ("##[start-action x]", None),
        ] {
            assert_eq!(Command::parse(line, Some("T0ken")), expected, "{line:?}");
        }
    }
}
