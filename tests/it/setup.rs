//! `setup`: the files that it writes start the service and are private; if the service would not start, setup undoes
//! everything.

use crate::support::console::{ConsoleClient, PASSWORD};
use crate::support::fake_erp::{FakeErp, Reply};
use crate::support::mail_server::{MAIL_PASSWORD, MAIL_USER, Mailbox};
use crate::support::terminal::run_at_terminal;
use crate::support::{BIN, Home, OLD_SECRET, SECRET, SHOP, base64, hmac_sha256, order_body, shopify_request};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

/// Returns a directory with the configuration of the package.
fn install_conffile() -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    let shipped = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/conffile.toml")).unwrap();
    fs::write(&path, format!("{shipped}[store]\npath = \"{}\"\n", directory.path().join("events.db").display()))
        .unwrap();
    fs::write(directory.path().join("given"), "shop-secret\n").unwrap();
    let path = path.display().to_string();
    (directory, path)
}

fn run_setup(path: &str, arguments: &[&str]) -> Output {
    Command::new(BIN)
        .args(["--config", path, "setup"])
        .args(arguments)
        .env_remove("NOVEX_CONFIG")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn flags_write_a_configuration_that_starts() {
    let (directory, path) = install_conffile();
    let given = format!("--shop=acme-foods.myshopify.com={}", directory.path().join("given").display());
    let flags = ["--domain", "hooks.example.com", &given, "--easypost", "--keycloak", "--port", "18443", "--no-start"];
    let done = run_setup(&path, &flags);
    let printed = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{done:?}");
    for wanted in [
        "https://hooks.example.com:18443/api/webhooks/shopify/orders/create",
        "https://hooks.example.com:18443/api/webhooks/easypost",
        "https://hooks.example.com:18443/api/keycloak/events",
        "Authorization: Bearer SECRET",
        "self-signed",
    ] {
        assert!(printed.contains(wanted), "{wanted}: {printed}");
    }
    let secrets = directory.path().join("secrets");
    let read = |name: &str| fs::read_to_string(secrets.join(name)).unwrap();
    assert_eq!(read("shopify-acme-foods"), "shop-secret");
    assert_eq!((read("easypost").len(), read("keycloak").len()), (64, 64));
    assert!(!printed.contains("shop-secret") && !printed.contains(&read("keycloak")), "a secret is never printed");
    for file in ["secrets/shopify-acme-foods", "secrets/easypost", "secrets/keycloak"] {
        let mode = fs::metadata(directory.path().join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o640, "{file}");
    }
    let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o644, "an existing file keeps its mode");
    let check = Command::new(BIN).args(["--config", &path, "config", "check"]).output().unwrap();
    assert!(check.status.success(), "{check:?}");
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.contains("\nlisten = \"0.0.0.0:18443\"\n") && text.contains("# A secret is never in this file"),
        "{text}"
    );
    // The second run repeats no section, overwrites nothing and prints the addresses again; another shop is added.
    let (easypost, keycloak) = (read("easypost"), read("keycloak"));
    fs::write(directory.path().join("config.toml.new"), "of a run that was killed").unwrap();
    let again = run_setup(&path, &flags);
    assert!(again.status.success() && String::from_utf8_lossy(&again.stdout) == printed, "{again:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    let other = given.replace("acme-foods", "other-foods");
    let another = run_setup(&path, &["--domain", "hooks.example.com", &other, "--no-start"]);
    assert!(
        String::from_utf8_lossy(&another.stdout).contains("https://hooks.example.com:18443/api"),
        "the port is the configured one"
    );
    assert_eq!(
        (read("easypost"), read("keycloak"), read("shopify-other-foods")),
        (easypost, keycloak, "shop-secret".to_owned())
    );
    // Without --domain it is the configured one, and without any flag setup prints the addresses.
    let without_domain = run_setup(&path, &["--keycloak", "--no-start"]);
    assert!(String::from_utf8_lossy(&without_domain.stdout).contains("https://hooks.example.com:18443/"));
    let text = fs::read_to_string(&path).unwrap();
    for flags in [&[][..], &["--no-start"]] {
        let printing = run_setup(&path, flags);
        let printed = String::from_utf8_lossy(&printing.stdout).into_owned();
        assert!(printing.status.success() && printed.contains("https://hooks.example.com:18443/api/webhooks/easypost"));
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), text, "printing changes nothing");
    // Another port, also in a file with other line ends.
    fs::write(&path, fs::read_to_string(&path).unwrap().replace('\n', "\r\n")).unwrap();
    let moved = run_setup(&path, &["--port", "443", "--no-start"]);
    assert!(
        String::from_utf8_lossy(&moved.stdout).contains("https://hooks.example.com/api/webhooks/easypost"),
        "{moved:?}"
    );
    assert!(fs::read_to_string(&path).unwrap().contains("\nlisten = \"0.0.0.0:443\"\n"));
}

#[test]
fn setup_undoes_everything_if_the_service_would_not_start() {
    let (directory, path) = install_conffile();
    let before = fs::read_to_string(&path).unwrap();
    let given = format!("--shop=acme-foods.myshopify.com={}", directory.path().join("given").display());
    let none = directory.path().join("none").display().to_string();
    fs::write(directory.path().join("empty"), "\n").unwrap();
    let own_domain = given.replace("acme-foods.myshopify.com", "shop.acme-foods.example");
    let empty = format!("--shop=acme-foods.myshopify.com={}", directory.path().join("empty").display());
    fs::write(directory.path().join("short"), "abc\n").unwrap();
    let short = empty.replace("/empty", "/short");
    for (flags, wanted, code) in [
        (vec!["--domain", "https://hooks.example.com", &given], "is not a domain", 2),
        (vec!["--domain", "a..b", &given], "is not a domain", 2),
        (vec!["--domain", "192.168.1.1", &given], "is not a domain", 2),
        (vec!["--domain", "hooks.example.com", &given, "--port", "0"], "invalid value", 2),
        (vec!["--domain", "hooks.example.com"], "no source is configured", 2),
        (vec![given.as_str()], "--domain is missing", 2),
        (vec!["--domain", "hooks.example.com", "--shop=acme-foods.myshopify.com"], "write DOMAIN=FILE", 2),
        (vec!["--domain", "hooks.example.com", &own_domain], "write NAME.myshopify.com", 2),
        (vec!["--domain", "hooks.example.com", &empty], "/empty is empty", 2),
        (vec!["--domain", "hooks.example.com", &short], "/short has only 3 characters", 2),
        (vec!["--domain", "hooks.example.com", &given, &short.replace("acme", "ACME")], "is given twice", 2),
        (vec!["--domain", "hooks.example.com", "--easypost", "--easypost-secret", &none], "cannot be read", 2),
        (vec!["--domain", "hooks.example.com", "--easypost"], "is not started", 1),
    ] {
        let refused = run_setup(&path, &flags);
        let printed = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(code) && printed.contains(wanted), "{wanted}: {printed}");
    }
    // Files that were written before the start failed are removed too.
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    assert!(!directory.path().join("secrets/easypost").exists(), "created files are removed");
    let nowhere =
        ["--domain", "hooks.example.com", "--keycloak", "--no-start", "--certificate", &none, "--private-key", &none];
    let done = run_setup(&path, &nowhere);
    assert!(done.status.success(), "only the service's user can check the file, at the start: {done:?}");
}

/// setup reads every form of the configuration and every place of a secret.
#[test]
fn hand_written_configuration_is_understood() {
    let (directory, path) = install_conffile();
    let more = "[ keycloak ]\nsecrets = [\"file:secrets/own\"]\n[[shopify.shops]]\ndomain='Acme-Foods.myshopify.com'\nsecrets = 'file:given'\n";
    fs::write(&path, fs::read_to_string(&path).unwrap() + more).unwrap();
    fs::create_dir(directory.path().join("secrets")).unwrap();
    fs::write(directory.path().join("secrets/own"), "a-person's").unwrap();
    let before = fs::read_to_string(&path).unwrap() + "\n[server]\ndomain = \"hooks.example.com\"\n";
    let done = run_setup(&path, &["--domain", "hooks.example.com", "--keycloak", "--no-start"]);
    let printed = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && printed.contains("secrets/own"), "{done:?}");
    assert!(!directory.path().join("secrets/keycloak").exists(), "no configuration uses it");
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    // The secret that the file has, and another one beside it. The name of a shop has no upper case.
    let given = format!("--shop=ACME-foods.myshopify.com={}", directory.path().join("given").display());
    assert!(run_setup(&path, &[&given, "--no-start"]).status.success());
    assert_eq!(fs::read_to_string(&path).unwrap(), before, "the secret is configured already");
    fs::write(directory.path().join("other"), "another-secret").unwrap();
    let other = given.replace("/given", "/other");
    assert!(run_setup(&path, &[&other, "--no-start"]).status.success());
    let expected = before.replace("'file:given'", "[\"file:secrets/shopify-acme-foods\", 'file:given']");
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
}

/// A rotation adds the new secret before the old one. Both are valid until the operator removes the old one; setup and
/// doctor print when each was used last.
#[test]
fn rotation_keeps_the_old_secret_until_it_is_unused() {
    let home = Home::new("");
    let path = home.path("config.toml");
    let base = format!("[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = {:?}\n", home.db());
    fs::write(&path, base).unwrap();
    let setup = |flags: &[&str]| {
        let done = run_setup(&path.display().to_string(), &[flags, &["--no-start"]].concat());
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    let shop = |file: &str, secret: &str| {
        fs::write(home.path(file), secret).unwrap();
        format!("--shop={SHOP}={}", home.path(file).display())
    };
    setup(&["--domain", "hooks.example.com", &shop("given", OLD_SECRET)]);
    let printed = setup(&[&shop("given", SECRET)]);
    assert!(printed.contains(&format!("{SHOP} has 2 secrets")) && printed.contains("was not used yet"), "{printed}");
    assert!(!printed.contains(SECRET) && !printed.contains(OLD_SECRET), "a secret is never printed");
    let name = SHOP.strip_suffix(".myshopify.com").unwrap();
    let (old, new) = (format!("file:secrets/shopify-{name}"), format!("file:secrets/shopify-{name}-2"));
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(&format!("secrets = [\"{new}\", \"{old}\"]")), "{text}");
    assert_eq!(setup(&[&shop("given", OLD_SECRET)]), printed, "each of the two is known");

    let daemon = home.serve();
    let uses = "SELECT secret, last_used_at > '2026' FROM secret_uses";
    // setup's own test event, signed with the new secret, is no use by Shopify.
    home.run_ok(&["send", "shopify", "--to", &daemon.address.to_string()]);
    let sign = |id: &str, body: &[u8], secret: &str| {
        let signature = base64(&hmac_sha256(secret.as_bytes(), body));
        shopify_request(id, body).with_header("X-Shopify-Hmac-Sha256", &signature)
    };
    for id in ["w1", "w2"] {
        daemon.request(&sign(id, &order_body(1), OLD_SECRET)).event_id();
    }
    home.wait_for(uses, &format!("{old}|1"));
    let finding = |home: &Home| {
        let printed = String::from_utf8(home.run(&["doctor", "--json"]).stdout).unwrap();
        let doctor: serde_json::Value = serde_json::from_str(&printed).unwrap();
        let all = doctor["checks"].as_array().unwrap();
        let found = all.iter().find(|check| check["message"].as_str().unwrap().contains("has 2 secrets")).unwrap();
        (found["message"].as_str().unwrap().to_owned(), found["fix"].as_str().unwrap().to_owned())
    };
    let (message, fix) = finding(&home);
    assert!(
        message.contains(&format!("{new}, was not used yet; the old one, {old}, was last used at 20")),
        "{message}"
    );
    assert!(fix.starts_with("Enter the new secret at the provider"), "{fix}");
    // A repeated body, then a new one.
    daemon.request(&sign("w3", &order_body(1), SECRET)).event_id();
    daemon.request(&sign("w4", &order_body(2), SECRET)).event_id();
    home.wait_for("SELECT count(*) FROM secret_uses", "2");
    assert!(finding(&home).1.starts_with("Keep both"), "Shopify may sign with the old one for an hour");
    home.sql("UPDATE secret_uses SET last_used_at = '2026-01-01T00:00:00.000Z' WHERE secret NOT LIKE '%-2'");
    assert!(finding(&home).1.starts_with(&format!("remove {old:?} from its `secrets`")));
    daemon.stop();
}

/// Both forms of the topics are what Shopify's tools read.
#[test]
fn topics_are_printed_as_app_configuration_and_as_script() {
    let (directory, path) = install_conffile();
    let print = |format: &str| {
        let done = run_setup(&path, &["--topics", format, "--domain", "hooks.example.com"]);
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    assert_eq!(run_setup(&path, &["--topics", "toml"]).status.code(), Some(2), "no domain is configured");
    let app: toml::Table = print("toml").parse().unwrap();
    assert_eq!(app["webhooks"]["api_version"].as_str(), Some("2026-10"));
    let subscriptions = app["webhooks"]["subscriptions"].as_array().unwrap();
    let topics = |key: &str| subscriptions.iter().filter(|entry| entry.get(key).is_some()).count();
    assert_eq!((topics("topics"), topics("compliance_topics")), (22, 3));
    for entry in subscriptions {
        let topic = entry.get("topics").or(entry.get("compliance_topics")).unwrap()[0].as_str().unwrap();
        let uri = format!("https://hooks.example.com:8443/api/webhooks/shopify/{topic}");
        assert_eq!(entry["uri"].as_str(), Some(&*uri));
    }

    // The script, against a server in place of Shopify: it subscribes, goes on after a refusal, and fails then.
    let shopify = FakeErp::start(|index, _| {
        let errors = match index {
            1 => r#"[{ "message": "Address for this topic has already been taken" }]"#,
            2 => r#"[{"message":"You do not have the scope read_orders"}]"#,
            _ => "[]",
        };
        let answer = format!(r#"{{"data":{{"webhookSubscriptionCreate":{{"userErrors":{errors}}}}}}}"#);
        Reply::StatusWithBody(200, String::new(), answer.into_bytes())
    });
    let script = directory.path().join("subscribe");
    fs::write(&script, print("script")).unwrap();
    let ended = Command::new("sh")
        .arg(&script)
        .env("SHOP", "acme-foods.myshopify.com")
        .env("TOKEN", "shpat_1")
        .env("ADMIN_URL", shopify.url.trim_end_matches("/hooks"))
        .env("no_proxy", "127.0.0.1")
        .output()
        .unwrap();
    let (printed, errors) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(!ended.status.success() && errors.contains("scope read_orders"), "{printed}{errors}");
    assert!(printed.contains("ORDERS_CREATE: subscribed\nORDERS_UPDATED: was subscribed already"), "{printed}");
    let requests = shopify.requests();
    assert_eq!(requests.len(), 22);
    assert_eq!(requests[0].header("x-shopify-access-token"), "shpat_1");
    let first: serde_json::Value = serde_json::from_slice(&requests[0].body).unwrap();
    assert_eq!(
        first["query"],
        "mutation { webhookSubscriptionCreate(topic: ORDERS_CREATE, webhookSubscription: {uri: \
         \"https://hooks.example.com:8443/api/webhooks/shopify/orders/create\", format: JSON}) { userErrors { message } } }"
    );
}

#[test]
fn acme_is_configured_once() {
    let (_directory, path) = install_conffile();
    let flags =
        ["--domain", "Hooks.example.com", "--easypost", "--no-start", "--acme", "--acme-email", "ops@example.com"];
    for _ in 0..2 {
        let done = run_setup(&path, &flags);
        let printed = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{done:?}");
        assert!(printed.contains("forward it to port 8443"), "{printed}");
        assert!(printed.contains("requests it while it runs"), "{printed}");
    }
    let text = fs::read_to_string(&path).unwrap();
    let own = "\n[tls.acme]\nnames = [\"hooks.example.com\"]\nterms_agreed = true\nemail = \"ops@example.com\"\n";
    assert_eq!(text.matches(own).count(), 1, "{text}");
    let with_files = run_setup(&path, &[&flags[..5], &["--certificate", "a", "--private-key", "b"]].concat());
    assert_eq!(with_files.status.code(), Some(2), "{with_files:?}");
    let files =
        ["--domain", "hooks.example.com", "--easypost", "--no-start", "--certificate", "a", "--private-key", "b"];
    let done = run_setup(&path, &files);
    assert!(String::from_utf8_lossy(&done.stderr).contains("[tls] is configured already"), "{done:?}");
}

/// setup writes into this file. dpkg asks about a changed conffile that the package changed too, and an unattended
/// upgrade stops there. So the package never changes it; new keys are documented in packaging/config.toml.
#[test]
fn packaged_conffile_is_unchanged() {
    let conffile = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/conffile.toml")).unwrap();
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(conffile));
    assert_eq!(digest, "79cb36fdaf9a7e9e5fa25d024197d5dfa80deec055e0c5fa06827073e45a46f0");
}

/// Ctrl-C at a hidden prompt restores the terminal.
#[test]
fn interrupted_prompt_restores_the_terminal() {
    let (_directory, path) = install_conffile();
    let command = format!("{BIN} --config {path} setup --no-start; echo \"ended with $?\"; stty -a");
    let (_, all) = run_at_terminal(&command, &["hooks.example.com\n", "\n", "acme-foods.myshopify.com\n", "\u{3}"]);
    assert!(all.contains("nothing was changed") && !all.contains("ended with 0"), "{all}");
    assert!(all.contains(" echo ") && !all.contains("-echo "), "{all}");
}

/// setup asks a person, hides secrets, and writes nothing before the last answer.
#[test]
fn setup_asks_a_person() {
    for (last, written) in [("n", false), ("y", true)] {
        let (directory, path) = install_conffile();
        let command = format!("{BIN} --config {path} setup --no-start");
        let responses = [
            "no domain",
            "hooks.example.com",
            "",
            "acme-foods.myshopify.com",
            "abc",
            "typed-secret",
            "ACME-foods.myshopify.com",
            "",
            "y",
            "",
            "n",
            "1",
            "y",
            "ops@example.com",
            "nobody",
            "ada@example.com",
            "",
            "465",
            "novex",
            "mail-secret",
            "",
            "n",
            last,
        ];
        let typed: Vec<String> = responses.iter().map(|response| format!("{response}\n")).collect();
        let (status, all) = run_at_terminal(&command, &typed);
        assert_eq!(status.success(), written, "{all}");
        assert!(all.contains("is not a domain") && !all.contains("typed-secret"), "{all}");
        assert!(!all.contains("mail-secret") && !all.contains("First user"), "there is no database yet: {all}");
        assert!(all.contains("has only 3 characters") && all.contains("was entered already"), "{all}");
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
            let channel = "host = \"smtp.example.com\"\nport = 465\ntls = \"implicit\"\nuser = \"novex\"\n\
                           password = \"file:secrets/smtp\"\nfrom = \"novex-ingest@hooks.example.com\"\n\
                           to = [\"ada@example.com\"]\n";
            assert!(text.contains(channel), "{text}");
            assert_eq!(fs::read_to_string(directory.path().join("secrets/smtp")).unwrap(), "mail-secret");
            // Run again, setup prints the addresses, remembers the domain and the port, and adds a secret.
            let (status, all) = run_at_terminal(&command, &["n\n"]);
            assert!(status.success() && all.contains("hooks.example.com:8443/api/webhooks/easypost"), "{all}");
            let again = ["y", "", "", "", "y", "", "n", "3", "y"].map(|response| format!("{response}\n"));
            let (status, all) = run_at_terminal(&command, &again);
            assert!(status.success() && all.contains("[hooks.example.com]") && all.contains("Port [8443]"), "{all}");
            assert!(all.contains("Configured: acme-foods.myshopify.com."), "{all}");
            assert!(all.contains("EasyPost has 2 secrets"), "{all}");
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.contains("secrets = [\"file:secrets/easypost-2\", \"file:secrets/easypost\"]"), "{text}");
        }
    }
}

/// The first user can sign in, and the test message arrives.
#[test]
fn setup_adds_a_user_and_sends_a_test_message() {
    let home = Home::new("");
    home.serve().stop();
    let mailbox = Mailbox::create(&home);
    let _server = mailbox.start();
    // The system's authorities, which setup trusts.
    let authority = home.path("mail/cert.pem").display().to_string();
    let command = format!("SSL_CERT_FILE={authority} {BIN} --config {} setup --no-start", home.config().display());
    let port = mailbox.port.to_string();
    let answers = [
        "hooks.example.com",
        "",
        "",
        "n",
        "n",
        "3",
        "an na",
        "anna",
        "short",
        PASSWORD,
        "something else",
        PASSWORD,
        PASSWORD,
        "ops@example.com",
        "127.0.0.1",
        &port,
        MAIL_USER,
        MAIL_PASSWORD,
        "",
        "y",
        "y",
    ];
    let (status, all) = run_at_terminal(&command, &answers.map(|answer| format!("{answer}\n")));
    assert!(status.success() && !all.contains(PASSWORD) && !all.contains(MAIL_PASSWORD), "{all}");
    assert!(all.contains("use at least") && all.contains("the passwords differ"), "{all}");
    assert!(all.contains("Added admin anna.") && all.contains("took the test message to ops@example.com"), "{all}");
    assert!(mailbox.messages()[0].contains("this is a test message"), "{:?}", mailbox.messages());
    let daemon = home.serve();
    ConsoleClient::signed_in(&daemon, "anna");
    daemon.stop();
    // Run again, setup asks for neither.
    let again = ["y", "", "", "", "n", "n", "3", "y"].map(|answer| format!("{answer}\n"));
    let (status, all) = run_at_terminal(&command, &again);
    assert!(status.success() && !all.contains("First user") && !all.contains("E-mail address"), "{all}");
}

/// A daemon with the written files serves, and accepts webhooks signed with their secrets.
#[test]
fn daemon_serves_with_the_written_files() {
    let home = Home::new("");
    let path = home.path("config.toml");
    fs::write(&path, format!("[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = {:?}\n", home.db())).unwrap();
    let done = run_setup(
        &path.display().to_string(),
        &["--domain", "hooks.example.com", "--easypost", "--keycloak", "--no-start"],
    );
    assert!(done.status.success(), "{done:?}");
    let daemon = home.serve();
    for source in ["easypost", "keycloak"] {
        home.run_ok(&["send", source, "--to", &daemon.address.to_string()]);
    }
    assert_eq!(
        home.sql("SELECT group_concat(source) FROM (SELECT source FROM webhook_events ORDER BY 1)"),
        "easypost,keycloak"
    );
    daemon.stop();
}
