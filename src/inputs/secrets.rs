//! Secrets and SSH sources of a build.

use crate::inputs::error::Problem;
use crate::inputs::raw::RawInputs;
use crate::inputs::reader::Reader;
use crate::inputs::table::{self, Input};
use crate::project::target::{BuildSecret, SecretSource, SshSource};
use crate::secret::Secret;

const SSH_AUTH_SOCK: &str = "SSH_AUTH_SOCK";

/// The secrets of all three inputs. Nothing of an entry of `secrets` is ever shown, its id included: a line of a value that
/// should have been quoted looks like an entry.
pub(super) fn read(reader: &mut Reader<'_>) -> Vec<BuildSecret> {
    let mut secrets = Vec::new();
    for (input, form) in [
        (&table::SECRETS, "`id=value`; quote an entry that spans several lines: `\"id=line one…\"`"),
        (&table::SECRET_FILES, "`id=path`"),
        (&table::SECRET_ENVS, "`id=VARIABLE`"),
    ] {
        for (number, entry) in (1..).zip(reader.list(input)) {
            match secret(reader, input, number, &entry, form) {
                Ok(Some(secret)) if secrets.iter().any(|known: &BuildSecret| known.id == secret.id) => {
                    reader.fail_entry(input, number, &entry, Problem::DuplicateId);
                }
                Ok(secret) => secrets.extend(secret),
                Err(problem) => reader.fail_entry(input, number, &entry, problem),
            }
        }
    }
    secrets
}

fn secret(
    reader: &mut Reader<'_>,
    input: &Input,
    number: usize,
    entry: &str,
    form: &'static str,
) -> Result<Option<BuildSecret>, Problem> {
    let malformed = Problem::Malformed { what: "an id and a value with `=` between them", form };
    let Some((id, value)) = entry.split_once('=') else { return Err(malformed) };
    let id = id.trim().to_owned();
    let source = if id.is_empty() {
        return Err(malformed);
    } else if *input == table::SECRETS {
        if value.trim().is_empty() {
            // In a pull request from a fork every secret of the repository is empty: docker's actions go on as well.
            reader
                .warnings
                .push(format!("input `secrets`, entry {number}: has no value, so the secret is not offered"));
            return Ok(None);
        }
        SecretSource::Value(Secret::new(value))
    } else if value.is_empty() {
        return Err(malformed);
    } else if *input == table::SECRET_FILES {
        SecretSource::File(reader.raw.path(value))
    } else {
        let variable = reader.raw.environment().get(value);
        SecretSource::Value(Secret::new(variable.ok_or_else(|| Problem::UnsetVariable { name: value.to_owned() })?))
    };
    Ok(Some(BuildSecret { id, source }))
}

/// `default`, `id`, `id=path` or `id=path,path`; docker's actions also take several of them on one line.
pub(super) fn ssh(raw: &RawInputs, line: &str) -> Result<Vec<SshSource>, Problem> {
    let mut sources: Vec<SshSource> = Vec::new();
    for part in line.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match (part.split_once('='), sources.last_mut()) {
            (Some((id, path)), _) if !id.is_empty() && !path.is_empty() => {
                sources.push(SshSource { id: id.to_owned(), paths: vec![raw.path(path)] });
            }
            (Some(_), _) => {
                return Err(Problem::Malformed { what: "an SSH agent or key", form: "`default`, or `id=path[,path]`" });
            }
            // Behind a path, what looks like one is one.
            (None, Some(source)) if part.contains('/') => source.paths.push(raw.path(part)),
            (None, _) => {
                let socket = raw.environment().non_empty(SSH_AUTH_SOCK).ok_or(Problem::NoAgent)?;
                sources.push(SshSource { id: part.to_owned(), paths: vec![raw.path(socket)] });
            }
        }
    }
    Ok(sources)
}
