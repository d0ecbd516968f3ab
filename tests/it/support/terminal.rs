//! Typing at a terminal.

use std::io::{Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

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
    let (mut screen, mut prompts, mut byte) = (String::new(), 0, [0; 1]);
    while output.read(&mut byte).is_ok_and(|read| read > 0) {
        screen.push(char::from(byte[0]));
        // A terminal discards input that is typed before a hidden prompt, so each answer waits for its prompt.
        if screen.ends_with(": ") && prompts < answers.len() {
            std::thread::sleep(Duration::from_millis(200));
            let _ = input.write_all(answers[prompts].as_ref().as_bytes());
            prompts += 1;
        }
    }
    (child.wait().unwrap(), screen)
}
