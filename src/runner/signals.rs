//! SIGINT and SIGTERM as a [`Cancellation`] that everything long-running waits on.

use std::io;
use std::sync::{Arc, OnceLock};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use crate::runner::ExitCode;

/// A signal that asks the program to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// What Ctrl-C and the runner's first attempt send.
    Interrupt,
    /// What the runner sends 7.5 s later, and `docker stop` first.
    Terminate,
}

impl Signal {
    /// The exit status that says so.
    pub const fn exit_code(self) -> ExitCode {
        match self {
            Self::Interrupt => ExitCode::Interrupted,
            Self::Terminate => ExitCode::Terminated,
        }
    }
}

/// A handle on the wish to stop. Clones share it.
///
/// The first signal decides the exit status. Later ones change nothing: the runner itself sends SIGTERM after SIGINT, and
/// ends with SIGKILL, so the way out stays orderly until then.
#[derive(Debug, Clone, Default)]
pub struct Cancellation {
    token: CancellationToken,
    signal: Arc<OnceLock<Signal>>,
}

impl Cancellation {
    /// A handle that only [`Cancellation::cancel`] triggers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Catches both signals from now on. To be called first thing: PID 1 of a container has no default handlers, and
    /// would outlive its job.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn install() -> io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let cancellation = Self::new();
        let handle = cancellation.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(()) = interrupt.recv() => handle.cancel(Signal::Interrupt),
                    Some(()) = terminate.recv() => handle.cancel(Signal::Terminate),
                    else => break,
                }
            }
        });
        Ok(cancellation)
    }

    /// Asks everything to stop.
    pub fn cancel(&self, signal: Signal) {
        // Order matters: who sees the token cancelled must find the signal.
        let _ = self.signal.set(signal);
        self.token.cancel();
    }

    /// Waits until somebody asks to stop; at once if that has happened.
    pub fn cancelled(&self) -> WaitForCancellationFuture<'_> {
        self.token.cancelled()
    }

    /// Whether somebody asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// The first signal, if one came.
    pub fn signal(&self) -> Option<Signal> {
        self.signal.get().copied()
    }

    /// The token itself, for child tokens and `run_until_cancelled`.
    pub const fn token(&self) -> &CancellationToken {
        &self.token
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::process::{Signal as Number, getpid, kill_process};

    use super::{Cancellation, Signal};
    use crate::runner::ExitCode;

    #[tokio::test]
    async fn the_first_signal_counts_and_the_second_does_not_kill() {
        let cancellation = Cancellation::install().unwrap();
        assert!(!cancellation.is_cancelled());
        kill_process(getpid(), Number::TERM).unwrap();
        tokio::time::timeout(Duration::from_secs(5), cancellation.cancelled()).await.unwrap();
        kill_process(getpid(), Number::INT).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(cancellation.signal(), Some(Signal::Terminate));
        assert_eq!(cancellation.signal().map(Signal::exit_code), Some(ExitCode::Terminated));
    }

    #[tokio::test]
    async fn clones_share_the_wish() {
        let cancellation = Cancellation::new();
        let clone = cancellation.clone();
        cancellation.cancel(Signal::Interrupt);
        clone.cancelled().await;
        assert_eq!(clone.signal().map(Signal::exit_code), Some(ExitCode::Interrupted));
    }
}
