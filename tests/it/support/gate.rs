//! A gate before a registry: all requests go through it but one, which may be kept waiting or turned away.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// It lies open at first.
pub(crate) struct Gate(Arc<Inner>);

struct Inner {
    request: String,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    manner: Manner,
    /// How often the request came.
    asked: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Open,
    Waits,
    Cut,
}

impl Gate {
    /// One at `address`, before what listens at `target`; `request` is how it begins, method and path.
    pub(super) fn new(address: &str, target: &str, request: &str) -> Self {
        let state = Mutex::new(State { manner: Manner::Open, asked: 0 });
        let inner = Arc::new(Inner { request: request.to_owned(), state, changed: Condvar::new() });
        let (listener, gate, target) = (TcpListener::bind(address).unwrap(), Arc::clone(&inner), target.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (gate, target) = (Arc::clone(&gate), target.clone());
                std::thread::spawn(move || gate.serve(client, &target));
            }
        });
        Self(inner)
    }

    /// From now on the request waits at the gate.
    pub(crate) fn hold(&self) {
        self.0.set(Manner::Waits);
    }

    /// From now on the connection ends at the request.
    pub(crate) fn cut(&self) {
        self.0.set(Manner::Cut);
    }

    /// Everything goes through again, what waits first.
    pub(crate) fn open(&self) {
        self.0.set(Manner::Open);
    }

    /// Waits until the request has come since its way was changed last.
    pub(crate) fn await_request(&self) {
        let begun = Instant::now();
        while self.0.state.lock().unwrap().asked == 0 {
            assert!(begun.elapsed() < Duration::from_secs(120), "nobody asks {}", self.0.request);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Inner {
    fn set(&self, manner: Manner) {
        *self.state.lock().unwrap() = State { manner, asked: 0 };
        self.changed.notify_all();
    }

    fn serve(&self, mut client: TcpStream, target: &str) {
        let Ok(mut registry) = TcpStream::connect(target) else { return };
        let (mut answers, mut back) = (registry.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || {
            std::io::copy(&mut answers, &mut back).ok();
            back.shutdown(Shutdown::Both).ok();
        });
        // A client writes the head of a request in one piece.
        let mut piece = vec![0; 1 << 16];
        loop {
            let read = match client.read(&mut piece) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) => break,
                Ok(read) => read,
            };
            let bytes = &piece[..read];
            if bytes.starts_with(self.request.as_bytes()) && !self.lets_through() {
                break;
            }
            if registry.write_all(bytes).is_err() {
                break;
            }
        }
        registry.shutdown(Shutdown::Both).ok();
        client.shutdown(Shutdown::Both).ok();
    }

    fn lets_through(&self) -> bool {
        let mut state = self.state.lock().unwrap();
        state.asked += 1;
        let state = self.changed.wait_while(state, |state| state.manner == Manner::Waits).unwrap();
        state.manner == Manner::Open
    }
}
