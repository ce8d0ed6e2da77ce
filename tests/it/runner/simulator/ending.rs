//! How a step ends: by itself, or as the runner cancels it (`ProcessInvoker.cs` of src/Runner.Sdk).

use std::io::{BufReader, Read};
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::log::Log;

const AFTER_INTERRUPT: Duration = Duration::from_millis(7500);
const AFTER_TERMINATE: Duration = Duration::from_millis(2500);

/// What ended a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    ByItself,
    Interrupted,
    Terminated,
    /// The client was killed; its container may live on.
    Killed,
}

/// A step whose client runs.
#[derive(Debug)]
pub(crate) struct Running {
    client: Child,
    readers: Vec<JoinHandle<()>>,
    cancelled: Option<Instant>,
}

impl Running {
    /// Reads both streams as they come, each on its own thread; `show` gets each line that the log shows.
    pub(super) fn read(mut client: Child, log: &Arc<Mutex<Log>>, show: fn(&str)) -> Self {
        let stdout = client.stdout.take().map(|stream| reader(stream, Arc::clone(log), show));
        let stderr = client.stderr.take().map(|stream| reader(stream, Arc::clone(log), show));
        Self { client, readers: stdout.into_iter().chain(stderr).collect(), cancelled: None }
    }

    /// Waits for the end; as soon as `cancel` says so, the runner's sequence of signals begins.
    pub(super) fn wait(mut self, cancel: impl Fn() -> bool) -> (ExitStatus, Ended, Option<Duration>) {
        let client = Pid::from_child(&self.client);
        let mut sent = Ended::ByItself;
        let status = loop {
            if let Some(status) = self.client.try_wait().unwrap() {
                break status;
            }
            let since = self.cancelled.map(|cancelled| cancelled.elapsed());
            let next = match (sent, since) {
                (Ended::ByItself, _) if cancel() => {
                    self.cancelled = Some(Instant::now());
                    Some((Ended::Interrupted, Signal::INT))
                }
                (Ended::Interrupted, Some(since)) if since >= AFTER_INTERRUPT => {
                    Some((Ended::Terminated, Signal::TERM))
                }
                (Ended::Terminated, Some(since)) if since >= AFTER_INTERRUPT + AFTER_TERMINATE => {
                    Some((Ended::Killed, Signal::KILL))
                }
                _ => None,
            };
            if let Some((next, signal)) = next {
                sent = next;
                // It may have ended in this moment.
                let _ = kill_process(client, signal);
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let took = self.cancelled.map(|cancelled| cancelled.elapsed());
        self.readers.into_iter().for_each(|reader| reader.join().unwrap());
        (status, sent, took)
    }
}

fn reader(stream: impl Read + Send + 'static, log: Arc<Mutex<Log>>, show: fn(&str)) -> JoinHandle<()> {
    std::thread::spawn(move || {
        each_line(stream, |line| log.lock().unwrap().line(line).iter().for_each(|line| show(line)));
    })
}

/// A line ends with `\n`, `\r\n` or `\r` (`StreamReader.ReadLine`).
fn each_line(stream: impl Read, mut take: impl FnMut(&str)) {
    let (mut line, mut after_return) = (Vec::new(), false);
    for byte in BufReader::new(stream).bytes().map_while(Result::ok) {
        match byte {
            b'\n' if after_return => {}
            b'\n' | b'\r' => take(&String::from_utf8_lossy(&std::mem::take(&mut line))),
            byte => line.push(byte),
        }
        after_return = byte == b'\r';
    }
    if !line.is_empty() {
        take(&String::from_utf8_lossy(&line));
    }
}

#[cfg(test)]
mod tests {
    use super::each_line;

    #[test]
    fn every_end_of_a_line_counts_once() {
        let mut lines = Vec::new();
        each_line("a\r\nb\r::c\n\n\rd".as_bytes(), |line| lines.push(line.to_owned()));
        assert_eq!(lines, ["a", "b", "::c", "", "", "d"]);
    }
}
