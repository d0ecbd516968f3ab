//! A real HTTP server that plays the ERP: it notes every request, and does with each what the test says.

use crate::util::PATIENCE;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Taken {
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Taken {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }
}

/// What to do with a request whose body has been taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Do {
    Answer(u16),
    AnswerWith(u16, String),
    /// Close the connection without a word.
    Drop,
    /// Say nothing until the test lets go.
    Hang,
}

type Script = Arc<dyn Fn(usize, &Taken) -> Do + Send + Sync>;

pub struct Erp {
    pub url: String,
    shared: Arc<Shared>,
}

struct Shared {
    taken: Mutex<Vec<Taken>>,
    came: Condvar,
    script: Script,
    in_flight: AtomicUsize,
    in_flight_most: AtomicUsize,
    let_go: AtomicBool,
}

impl Erp {
    /// Starts it; `script` gets each request's number, from 0.
    pub fn start(script: impl Fn(usize, &Taken) -> Do + Send + Sync + 'static) -> Self {
        Self::start_at(TcpListener::bind("127.0.0.1:0").unwrap(), script)
    }

    pub fn start_at(listener: TcpListener, script: impl Fn(usize, &Taken) -> Do + Send + Sync + 'static) -> Self {
        let url = format!("http://{}/hooks", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            taken: Mutex::default(),
            came: Condvar::new(),
            script: Arc::new(script),
            in_flight: AtomicUsize::new(0),
            in_flight_most: AtomicUsize::new(0),
            let_go: AtomicBool::new(false),
        });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = serving.clone();
                std::thread::spawn(move || serve(&stream, &shared));
            }
        });
        Self { url, shared }
    }

    /// Waits for so many requests in all, and gives them.
    pub fn wait_for(&self, count: usize) -> Vec<Taken> {
        let taken = self.shared.taken.lock().unwrap();
        let (taken, timeout) =
            self.shared.came.wait_timeout_while(taken, PATIENCE, |taken| taken.len() < count).unwrap();
        assert!(!timeout.timed_out(), "the ERP got {} of {count}", taken.len());
        taken.clone()
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.shared.taken.lock().unwrap().clone()
    }

    /// Most requests that were worked at once.
    pub fn in_flight_most(&self) -> usize {
        self.shared.in_flight_most.load(Ordering::SeqCst)
    }
}

impl Drop for Erp {
    fn drop(&mut self) {
        self.shared.let_go.store(true, Ordering::SeqCst);
    }
}

fn serve(stream: &TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let length =
            headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, value)| value.parse().unwrap());
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let now = shared.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        shared.in_flight_most.fetch_max(now, Ordering::SeqCst);
        let taken = Taken { headers, body };
        let number = {
            let mut all = shared.taken.lock().unwrap();
            all.push(taken.clone());
            shared.came.notify_all();
            all.len() - 1
        };
        let action = (shared.script)(number, &taken);
        shared.in_flight.fetch_sub(1, Ordering::SeqCst);
        let (status, extra) = match action {
            Do::Answer(status) => (status, String::new()),
            Do::AnswerWith(status, extra) => (status, extra),
            Do::Drop => return,
            Do::Hang => {
                let start = Instant::now();
                while !shared.let_go.load(Ordering::SeqCst) && start.elapsed() < PATIENCE {
                    std::thread::sleep(Duration::from_millis(5));
                }
                return;
            }
        };
        let answer = format!("HTTP/1.1 {status} X\r\n{extra}content-length: 0\r\n\r\n");
        let mut out = stream;
        if out.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
