//! `setup`: what it writes starts, is nobody else's to read, and is taken back when it would not start.

use crate::util::{BIN, Home};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, ExitStatus, Output, Stdio};

/// A directory with the configuration as the package ships it.
fn installed() -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    let shipped = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/conffile.toml")).unwrap();
    fs::write(&path, format!("{shipped}[store]\npath = \"{}\"\n", directory.path().join("events.db").display()))
        .unwrap();
    fs::write(directory.path().join("given"), "shop-secret\n").unwrap();
    let path = path.display().to_string();
    (directory, path)
}

fn setup(path: &str, arguments: &[&str]) -> Output {
    Command::new(BIN)
        .args(["--config", path, "setup"])
        .args(arguments)
        .env_remove("NOVEX_CONFIG")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn flags_write_what_starts() {
    let (directory, path) = installed();
    let given = format!("--shop=acme-foods.myshopify.com={}", directory.path().join("given").display());
    let flags = ["--domain", "hooks.example.com", &given, "--easypost", "--keycloak", "--port", "18443", "--no-start"];
    let done = setup(&path, &flags);
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{done:?}");
    for wanted in [
        "https://hooks.example.com:18443/api/webhooks/shopify/orders/create",
        "https://hooks.example.com:18443/api/webhooks/easypost",
        "https://hooks.example.com:18443/api/keycloak/events",
        "Authorization: Bearer SECRET",
        "self-signed",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    let secrets = directory.path().join("secrets");
    let read = |name: &str| fs::read_to_string(secrets.join(name)).unwrap();
    assert_eq!(read("shopify-acme-foods"), "shop-secret");
    assert_eq!((read("easypost").len(), read("keycloak").len()), (64, 64));
    assert!(!said.contains("shop-secret") && !said.contains(&read("keycloak")), "a secret is never printed");
    for file in ["secrets/shopify-acme-foods", "secrets/easypost", "secrets/keycloak"] {
        let mode = fs::metadata(directory.path().join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o640, "{file}");
    }
    let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o644, "what was there keeps its mode");
    let check = Command::new(BIN).args(["--config", &path, "config", "check"]).output().unwrap();
    assert!(check.status.success(), "{check:?}");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("\nlisten = \"0.0.0.0:18443\"\n") && text.contains("# Secrets never stand here"), "{text}");
    // A second time: what is there is neither said twice nor written over, and is told again; another shop comes beside it.
    let (easypost, keycloak) = (read("easypost"), read("keycloak"));
    fs::write(directory.path().join("config.toml.new"), "of a run that was killed").unwrap();
    let again = setup(&path, &flags);
    assert!(again.status.success() && String::from_utf8_lossy(&again.stdout) == said, "{again:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    let other = given.replace("acme-foods", "other-foods");
    let another = setup(&path, &["--domain", "hooks.example.com", &other, "--no-start"]);
    assert!(
        String::from_utf8_lossy(&another.stdout).contains("https://hooks.example.com:18443/api"),
        "the port is the configured one"
    );
    assert_eq!(
        (read("easypost"), read("keycloak"), read("shopify-other-foods")),
        (easypost, keycloak, "shop-secret".to_owned())
    );
    // Another secret for a shop: the one before is kept.
    fs::write(directory.path().join("given"), "rotated").unwrap();
    assert!(setup(&path, &flags).status.success());
    assert_eq!(
        (read("shopify-acme-foods"), read("shopify-acme-foods.before")),
        ("rotated".to_owned(), "shop-secret".to_owned())
    );
    // Another port, also in a file with other line ends.
    fs::write(&path, fs::read_to_string(&path).unwrap().replace('\n', "\r\n")).unwrap();
    let moved = setup(&path, &["--domain", "hooks.example.com", "--easypost", "--port", "443", "--no-start"]);
    assert!(
        String::from_utf8_lossy(&moved.stdout).contains("https://hooks.example.com/api/webhooks/easypost"),
        "{moved:?}"
    );
    assert!(fs::read_to_string(&path).unwrap().contains("\nlisten = \"0.0.0.0:443\"\n"));
}

#[test]
fn what_would_not_start_is_taken_back() {
    let (directory, path) = installed();
    let before = fs::read_to_string(&path).unwrap();
    let given = format!("--shop=acme-foods.myshopify.com={}", directory.path().join("given").display());
    let none = directory.path().join("none").display().to_string();
    fs::write(directory.path().join("empty"), "\n").unwrap();
    let own_domain = given.replace("acme-foods.myshopify.com", "shop.acme-foods.example");
    let empty = format!("--shop=acme-foods.myshopify.com={}", directory.path().join("empty").display());
    for (flags, wanted, code) in [
        (vec!["--domain", "https://hooks.example.com", &given], "is no domain", 2),
        (vec!["--domain", "a..b", &given], "is no domain", 2),
        (vec!["--domain", "192.168.1.1", &given], "is no domain", 2),
        (vec!["--domain", "hooks.example.com", &given, "--port", "0"], "invalid value", 2),
        (vec!["--domain", "hooks.example.com"], "nothing is to be received", 2),
        (vec![given.as_str()], "--domain is missing", 2),
        (vec!["--domain", "hooks.example.com", "--shop=acme-foods.myshopify.com"], "write DOMAIN=FILE", 2),
        (vec!["--domain", "hooks.example.com", &own_domain], "write NAME.myshopify.com", 2),
        (vec!["--domain", "hooks.example.com", &empty], "the secret is empty", 2),
        (vec!["--domain", "hooks.example.com", "--easypost", "--easypost-secret", &none], "cannot be read", 2),
        (vec!["--domain", "hooks.example.com", "--easypost"], "is not started", 1),
    ] {
        let refused = setup(&path, &flags);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(code) && said.contains(wanted), "{wanted}: {said}");
    }
    // Also what was written and only did not start.
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    assert!(!directory.path().join("secrets/easypost").exists(), "what was made is taken back");
    let nowhere =
        ["--domain", "hooks.example.com", "--keycloak", "--no-start", "--certificate", &none, "--private-key", &none];
    let done = setup(&path, &nowhere);
    assert!(done.status.success(), "whether it can be read is seen by the service's user, at the start: {done:?}");
}

/// However the configuration is written, and wherever it takes a secret from.
#[test]
fn what_a_person_has_written_is_understood() {
    let (directory, path) = installed();
    let more = "[ keycloak ]\nsecrets = [\"file:secrets/own\"]\n[[shopify.shops]]\ndomain='Acme-Foods.myshopify.com'\nsecrets = 'file:given'\n";
    fs::write(&path, fs::read_to_string(&path).unwrap() + more).unwrap();
    fs::create_dir(directory.path().join("secrets")).unwrap();
    fs::write(directory.path().join("secrets/own"), "a-person's").unwrap();
    let before = fs::read_to_string(&path).unwrap();
    let done = setup(&path, &["--domain", "hooks.example.com", "--keycloak", "--no-start"]);
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && said.contains("secrets/own"), "{done:?}");
    assert!(!directory.path().join("secrets/keycloak").exists(), "nothing would use it");
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    let given = format!("--shop=acme-foods.myshopify.com={}", directory.path().join("given").display());
    let refused = setup(&path, &["--domain", "hooks.example.com", &given, "--no-start"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("takes this secret from \"file:given\""), "{refused:?}");
}

#[test]
fn a_certificate_by_acme_is_configured_once() {
    let (_directory, path) = installed();
    let flags =
        ["--domain", "Hooks.example.com", "--easypost", "--no-start", "--acme", "--acme-email", "ops@example.com"];
    for _ in 0..2 {
        let done = setup(&path, &flags);
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{done:?}");
        assert!(said.contains("let the router lead that to port 8443"), "{said}");
        assert!(said.contains("it is asked for while the service runs"), "{said}");
    }
    let text = fs::read_to_string(&path).unwrap();
    let own = "\n[tls.acme]\nnames = [\"Hooks.example.com\"]\nterms_agreed = true\nemail = \"ops@example.com\"\n";
    assert_eq!(text.matches(own).count(), 1, "{text}");
    let with_files = setup(&path, &[&flags[..5], &["--certificate", "a", "--private-key", "b"]].concat());
    assert_eq!(with_files.status.code(), Some(2), "{with_files:?}");
    let files =
        ["--domain", "hooks.example.com", "--easypost", "--no-start", "--certificate", "a", "--private-key", "b"];
    let done = setup(&path, &files);
    assert!(String::from_utf8_lossy(&done.stderr).contains("[tls] is configured already"), "{done:?}");
}

/// setup writes into it, and dpkg asks at an upgrade what to do with a changed file of a package that changed it too; where nobody is there
/// to answer, the upgrade stops. So the package never changes it: what is new stands in packaging/config.toml.
#[test]
fn the_shipped_conffile_stays_as_it_is() {
    let conffile = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/conffile.toml")).unwrap();
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(conffile));
    assert_eq!(digest, "2a10ac8d170957d78519f5b5e1b03c5ddb72b4e1d67f0646da2d6e1b3ff7ede2");
}

/// Runs a command at a terminal of its own and types an answer to each question; how it ended, and all that the terminal showed.
fn at_a_terminal(command: &str, answers: &[impl AsRef<str>]) -> (ExitStatus, String) {
    let mut child = Command::new("script")
        .args(["-qec", command, "/dev/null"])
        .env_remove("NOVEX_CONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script, of Debian's bsdutils");
    let mut input = child.stdin.take().unwrap();
    let mut output = child.stdout.take().unwrap();
    let (mut all, mut asked, mut byte) = (String::new(), 0, [0; 1]);
    while std::io::Read::read(&mut output, &mut byte).is_ok_and(|read| read > 0) {
        all.push(char::from(byte[0]));
        // One answer to each question: a terminal throws away what was typed before a hidden one.
        if all.ends_with(": ") && asked < answers.len() {
            std::thread::sleep(std::time::Duration::from_millis(200));
            let _ = input.write_all(answers[asked].as_ref().as_bytes());
            asked += 1;
        }
    }
    (child.wait().unwrap(), all)
}

/// The terminal is as it was after Ctrl-C at a hidden question.
#[test]
fn an_interrupted_question_leaves_the_terminal_as_it_was() {
    let (_directory, path) = installed();
    let command = format!("{BIN} --config {path} setup --no-start; echo \"ended with $?\"; stty -a");
    let (_, all) = at_a_terminal(&command, &["hooks.example.com\n", "\n", "acme-foods.myshopify.com\n", "\u{3}"]);
    assert!(all.contains("nothing was changed") && !all.contains("ended with 0"), "{all}");
    assert!(all.contains(" echo ") && !all.contains("-echo "), "{all}");
}

/// A person is asked, secrets are not shown, and before the last answer nothing is written.
#[test]
fn a_person_is_asked() {
    for (last, written) in [("n", false), ("y", true)] {
        let (directory, path) = installed();
        let command = format!("{BIN} --config {path} setup --no-start");
        let answers = [
            "no domain",
            "hooks.example.com",
            "",
            "acme-foods.myshopify.com",
            "typed-secret",
            "",
            "y",
            "",
            "n",
            "1",
            "y",
            "ops@example.com",
            last,
        ];
        let typed: Vec<String> = answers.iter().map(|answer| format!("{answer}\n")).collect();
        let (status, all) = at_a_terminal(&command, &typed);
        assert_eq!(status.success(), written, "{all}");
        assert!(all.contains("is no domain") && !all.contains("typed-secret"), "{all}");
        assert_eq!(directory.path().join("secrets").exists(), written, "{all}");
        if written {
            assert_eq!(
                fs::read_to_string(directory.path().join("secrets/shopify-acme-foods")).unwrap(),
                "typed-secret"
            );
            assert!(all.contains("https://hooks.example.com:8443/api/webhooks/easypost"), "{all}");
            assert!(all.contains("There is no certificate from https://acme-v02"), "{all}");
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.contains("email = \"ops@example.com\""), "{text}");
        }
    }
}

/// What it wrote serves, and takes what is signed with its secrets.
#[test]
fn what_it_wrote_serves() {
    let home = Home::new("");
    let path = home.path("config.toml");
    fs::write(&path, format!("[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = {:?}\n", home.db())).unwrap();
    let done = setup(
        &path.display().to_string(),
        &["--domain", "hooks.example.com", "--easypost", "--keycloak", "--no-start"],
    );
    assert!(done.status.success(), "{done:?}");
    let daemon = home.serve();
    for source in ["easypost", "keycloak"] {
        home.ok(&["send", source, "--to", &daemon.address.to_string()]);
    }
    assert_eq!(
        home.sql("SELECT group_concat(source) FROM (SELECT source FROM webhook_events ORDER BY 1)"),
        "easypost,keycloak"
    );
    daemon.stop();
}
