//! The name of a step, as short as it still tells which one it is.

/// The instruction without the stage and the number before it: `[build 2/5] RUN make` is `RUN make`.
pub(crate) fn instruction(name: &str) -> String {
    let (_, instruction) = parts(name);
    without_flags(instruction)
}

/// The name without the flags of a `RUN`: `[build 4/8] RUN --mount=type=cache,target=/root/.npm npm ci` is
/// `[build 4/8] RUN npm ci`.
pub(crate) fn short(name: &str) -> String {
    let (place, instruction) = parts(name);
    format!("{place}{}", without_flags(instruction))
}

/// `[build 2/5] ` and the rest; a name of another form has no place.
fn parts(name: &str) -> (&str, &str) {
    match name.split_once("] ") {
        Some((place, instruction)) if place.starts_with('[') => {
            (name.strip_suffix(instruction).unwrap_or_default(), instruction)
        }
        Some(_) | None => ("", name),
    }
}

/// Flags of a `RUN` say how it runs; what a person looks for is what runs.
fn without_flags(instruction: &str) -> String {
    let Some(mut rest) = instruction.strip_prefix("RUN ") else { return instruction.to_owned() };
    while let Some((flag, after)) = rest.split_once(' ') {
        if !flag.is_empty() && !flag.starts_with("--") {
            break;
        }
        rest = after;
    }
    format!("RUN {rest}")
}

#[cfg(test)]
mod tests {
    use super::{instruction, short};

    #[test]
    fn flags_and_places_go() {
        for (name, without_flags, without_place) in [
            ("[build 2/5] RUN make", "[build 2/5] RUN make", "RUN make"),
            ("[2/5] RUN --mount=type=cache,target=/x --network=none npm ci", "[2/5] RUN npm ci", "RUN npm ci"),
            ("[a 3/3] COPY --link --from=b /a /b", "[a 3/3] COPY --link --from=b /a /b", "COPY --link --from=b /a /b"),
            ("RUN --mount=type=cache", "RUN --mount=type=cache", "RUN --mount=type=cache"),
            ("[x] ", "[x] ", ""),
            ("a] b", "a] b", "a] b"),
            ("", "", ""),
        ] {
            assert_eq!((short(name).as_str(), instruction(name).as_str()), (without_flags, without_place), "{name}");
        }
    }
}
