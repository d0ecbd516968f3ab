//! Typing at a terminal.

use std::io::{Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Silence after a text that looks like a prompt: the program waits for the answer.
const PROMPT_SILENCE: Duration = Duration::from_millis(200);

/// Runs a command at a new terminal and types one answer to each prompt. Returns its status and the terminal's output.
pub fn run_at_terminal(command: &str, answers: &[impl AsRef<str>]) -> (ExitStatus, String) {
    let mut child = Command::new("script")
        .args(["-qec", command, "/dev/null"])
        .env_remove("NOVEX_CONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script, of Debian's bsdutils");
    let mut input = child.stdin.take().unwrap();
    let mut output = child.stdout.take().unwrap();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(read @ 1..) = output.read(&mut bytes) {
            if sender.send(bytes[..read].to_vec()).is_err() {
                return;
            }
        }
    });
    let (mut screen, mut answers) = (Vec::new(), answers.iter());
    loop {
        match receiver.recv_timeout(PROMPT_SILENCE) {
            Ok(bytes) => screen.extend_from_slice(&bytes),
            // A terminal discards input that is typed before a hidden prompt, so each answer waits for its prompt.
            Err(RecvTimeoutError::Timeout) if screen.ends_with(b": ") => {
                let Some(answer) = answers.next() else { continue };
                let _ = input.write_all(answer.as_ref().as_bytes());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let screen = String::from_utf8_lossy(&screen).into_owned();
    (child.wait().unwrap(), screen)
}
