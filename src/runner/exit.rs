//! The exit status of the program: part of the public contract.

/// How a run ended, as a process exit status.
///
/// The runner knows only 0 and not 0; scripts may rely on the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Everything that was asked is done.
    Done = 0,
    /// A build failed.
    BuildFailed = 1,
    /// The inputs, or the files that they name, are wrong; nothing was built or removed.
    BadInputs = 2,
    /// There is no engine, or it cannot be reached.
    NoEngine = 3,
    /// Something that should have been cleared is still there, and was named.
    ClearedInPart = 4,
    /// A gate that the person set was not met.
    GateNotMet = 5,
    /// The images are built but not pushed.
    NotPushed = 6,
    /// Cancelled by SIGINT: 128 + 2, as shells say it.
    Interrupted = 130,
    /// Cancelled by SIGTERM: 128 + 15.
    Terminated = 143,
}

impl ExitCode {
    /// The status itself.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.code())
    }
}

#[cfg(test)]
mod tests {
    use super::ExitCode::{
        BadInputs, BuildFailed, ClearedInPart, Done, GateNotMet, Interrupted, NoEngine, NotPushed, Terminated,
    };

    #[test]
    fn the_contract_holds() {
        let all =
            [Done, BuildFailed, BadInputs, NoEngine, ClearedInPart, GateNotMet, NotPushed, Interrupted, Terminated];
        assert_eq!(all.map(super::ExitCode::code), [0, 1, 2, 3, 4, 5, 6, 130, 143]);
    }
}
