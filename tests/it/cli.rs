//! Every command, for people and with `--json`; configuration errors; exit statuses.

use crate::support::{BIN, Home, KEYCLOAK_SECRET, SECRET, order_body};
use serde_json::Value;
use std::fs;
use std::process::{Command, Output, Stdio};

fn parse_json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?} is not JSON"))).collect()
}

fn stderr_text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Returns a home with three orders, one of them broken, an EasyPost event and a Keycloak event, all processed.
fn home_with_processed_events() -> Home {
    let home = Home::new("");
    let daemon = home.serve();
    for id in 1..=2 {
        daemon.send_order(&format!("w{id}"), &order_body(id));
    }
    daemon.send_order("broken", b"\xff\0 no JSON");
    daemon.request(&crate::support::easypost_request(br#"{"id":"evt_1","description":"tracker.updated"}"#));
    daemon.request(&crate::support::keycloak_request(br#"{"id":"k1","type":"LOGIN"}"#));
    home.wait_until_processed();
    daemon.stop();
    home
}

#[test]
fn lists_filter_and_print_text_and_json() {
    let home = home_with_processed_events();
    let ids = |arguments: &[&str]| -> Vec<i64> {
        let arguments = [&["events", "list", "--json"], arguments].concat();
        parse_json_lines(&home.run_ok(&arguments)).iter().map(|event| event["id"].as_i64().unwrap()).collect()
    };
    let all = ids(&[]);
    assert_eq!(all.len(), 5);
    assert!(all.is_sorted_by(|one, other| one > other), "the newest first");
    assert_eq!(ids(&["--status", "failed"]).len(), 1);
    assert_eq!(ids(&["--status", "received"]).len(), 0);
    assert_eq!(ids(&["--source", "easypost"]).len(), 1);
    assert_eq!(ids(&["--topic", "orders/*"]).len(), 3);
    assert_eq!(ids(&["--topic", "orders"]).len(), 0);
    assert_eq!(ids(&["--since", "1h"]).len(), 5);
    assert_eq!(ids(&["--since", "1d"]).len(), 5);
    assert_eq!(ids(&["--since", "2999-01-01T00:00:00Z"]).len(), 0);
    assert_eq!(ids(&["--limit", "2"]), all[..2]);

    let table = home.run_ok(&["events", "list"]);
    assert_eq!(table.lines().count(), 6);
    assert!(table.starts_with("ID ") && table.contains("orders/create") && table.contains("not JSON"), "{table}");
    assert!(!table.contains('\x1b'), "no colour without a terminal");
    assert!(home.run_ok(&["events", "list", "--status", "received"]).contains("No such events"));
}

#[test]
fn events_show_prints_history_and_bytes() {
    let home = home_with_processed_events();
    let id = home.sql("SELECT id FROM failures");
    let shown = home.run_ok(&["events", "show", &id]);
    for part in ["failed", "received → processing", "processing → failed", "not JSON", "broken"] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    let json: Value = serde_json::from_str(&home.run_ok(&["events", "show", &id, "--json"])).unwrap();
    assert_eq!((json["status"].as_str(), json["history"].as_array().map(Vec::len)), (Some("failed"), Some(3)));
    assert_eq!(json["headers"]["x-shopify-webhook-id"], "broken");
    assert_eq!(home.run(&["events", "show", &id, "--body"]).stdout, b"\xff\0 no JSON");

    let missing = home.run(&["events", "show", "999"]);
    assert_eq!(missing.status.code(), Some(1));
    assert_eq!(stderr_text(&missing).lines().count(), 1, "{}", stderr_text(&missing));
    assert!(stderr_text(&missing).contains("there is no event 999"));
}

#[test]
fn export_contains_the_exact_bytes() {
    use base64::Engine;
    let home = home_with_processed_events();
    let lines = parse_json_lines(&home.run_ok(&["events", "export"]));
    assert_eq!(lines.len(), 5);
    for line in lines {
        let body = base64::engine::general_purpose::STANDARD.decode(line["body_base64"].as_str().unwrap()).unwrap();
        let kept = home.sql(&format!("SELECT hex(body) FROM webhook_payloads WHERE event_id = {}", line["id"]));
        assert!(kept.eq_ignore_ascii_case(&hex::encode(body)));
    }
    assert_eq!(parse_json_lines(&home.run_ok(&["events", "export", "--source", "keycloak"])).len(), 1);
}

#[test]
fn stats_agree_with_the_tables() {
    let home = home_with_processed_events();
    let json: Value = serde_json::from_str(&home.run_ok(&["stats", "--json"])).unwrap();
    let count = |source: &str, status: &str| {
        let counts = json["counts"].as_array().unwrap().iter();
        let mut fitting = counts.filter(|count| count["source"] == source && count["status"] == status);
        fitting.next().map_or(0, |count| count["events"].as_i64().unwrap())
    };
    assert_eq!((count("shopify", "completed"), count("shopify", "failed"), count("easypost", "completed")), (2, 1, 1));
    assert_eq!(json["last_hour"]["received"], 5);
    assert_eq!(json["oldest_pending_at"], Value::Null);
    assert!(home.run_ok(&["stats"]).contains("oldest pending   none"));
}

#[test]
fn retry_reports_retried_and_skipped_events() {
    let home = home_with_processed_events();
    let id = home.sql("SELECT id FROM failures");
    assert!(home.run_ok(&["events", "retry", &id]).contains(&format!("event {id} was failed and is due now")));
    assert_eq!(home.sql(&format!("SELECT status, max_attempts FROM webhook_events WHERE id = {id}")), "received|9");
    assert!(home.run_ok(&["events", "retry", "--topic", "nothing/*"]).contains("No such events"));
    let done = home.run_ok(&["events", "retry", "--status", "completed", "--source", "easypost"]);
    assert!(done.contains("was completed"), "{done}");
    let unknown = home.run(&["events", "retry", "999"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert_eq!(home.run(&["events", "retry"]).status.code(), Some(2), "neither numbers nor a filter");
    assert_eq!(home.run_ok(&["events", "retry", "1", "1"]).lines().count(), 1, "a duplicate stays a duplicate");
    home.run_ok(&["events", "retry", "--limit", "1"]);
    assert_eq!(home.run(&["events", "retry", "--status", "processing"]).status.code(), Some(1));
}

#[test]
fn send_signs_for_every_source_and_prints_the_response() {
    let home = Home::new("");
    let daemon = home.serve();
    let to = daemon.address.to_string();
    for arguments in [&["shopify", "orders/create"][..], &["shopify"], &["easypost"], &["keycloak", "access.LOGOUT"]] {
        let arguments = [&["send"], arguments, &["--to", &to]].concat();
        let response: Value = serde_json::from_str(&home.run_ok(&arguments)).unwrap();
        assert_eq!((response["status"].as_str(), response["duplicate"].as_bool()), (Some("received"), Some(false)));
    }
    let same = ["send", "shopify", "--id", "mine", "--to", &to];
    home.run_ok(&same);
    assert!(home.run_ok(&same).contains("\"duplicate\":true"));
    let file = home.path("body");
    fs::write(&file, order_body(77)).unwrap();
    home.run_ok(&["send", "shopify", "orders/updated", "--real", "--file", file.to_str().unwrap(), "--to", &to]);
    home.wait_until_processed();
    assert_eq!(home.count("SELECT count(*) FROM sales_orders WHERE order_id = 77"), 1);
    assert_eq!(home.count("SELECT count(*) FROM webhook_events WHERE topic = 'access.LOGOUT'"), 1);

    fs::write(home.path("keycloak"), "another secret").unwrap();
    let refused = home.run(&["send", "keycloak", "--to", &to]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr_text(&refused).contains("401"));
    daemon.stop();
    let not_running = home.run(&["send", "easypost", "--to", &to]);
    assert_eq!(not_running.status.code(), Some(1));
    assert!(stderr_text(&not_running).contains("is the daemon running?"), "{}", stderr_text(&not_running));
}

#[test]
fn reading_commands_need_neither_daemon_nor_secrets() {
    let home = home_with_processed_events();
    fs::remove_file(home.path("acme")).unwrap();
    home.run_ok(&["events", "list"]);
    home.run_ok(&["stats"]);
    home.run_ok(&["work", "--once"]);
    assert_eq!(home.run(&["serve"]).status.code(), Some(1), "serve needs the secrets");

    let empty = Home::new("");
    for arguments in [&["stats"][..], &["events", "list"], &["events", "show", "1"], &["events", "retry", "1"]] {
        let output = empty.run(arguments);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr_text(&output).contains("no database exists here yet"),
            "{arguments:?}: {}",
            stderr_text(&output)
        );
        assert!(!empty.db().exists(), "{arguments:?} created a database");
    }
    let nowhere = Command::new(BIN).args(["--config", "/nonexistent/config.toml", "stats"]).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(stderr_text(&nowhere).contains("--config FILE"), "{}", stderr_text(&nowhere));
}

#[test]
fn closed_output_pipe_is_not_a_failure() {
    let home = home_with_processed_events();
    for arguments in [&["events", "export"][..], &["events", "list"], &["mappings", "export"], &["completions", "bash"]]
    {
        let mut child = home.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", stderr_text(&output));
        assert_eq!(stderr_text(&output), "");
    }
}

#[test]
fn config_check_reports_every_error_at_once() {
    let home = Home::new("");
    let good = home.run(&["config", "check"]);
    assert!(good.status.success(), "{}", stderr_text(&good));
    assert!(String::from_utf8_lossy(&good.stdout).contains("serve would start"));
    assert!(!home.db().exists() && !home.path("tls").exists(), "config check creates nothing");

    fs::write(
        home.config(),
        "[server]\nlisten = \"127.0.0.1\"\nmax_conections = 5\n[worker]\nlease = 5\n[[shopify.shops]]\ndomain = \"a.myshopify.com\"\n\
         secrets = [\"shpss_written_right_here\"]\n",
    )
    .unwrap();
    let bad = home.run(&["config", "check"]);
    assert_eq!(bad.status.code(), Some(1));
    let printed = stderr_text(&bad);
    let path = home.config().display().to_string();
    for (line, key) in
        [(2, "server.listen"), (3, "server.max_conections"), (5, "worker.lease"), (8, "shopify.shops.secrets")]
    {
        assert!(printed.contains(&format!("{path}:{line}: {key}: ")), "{key} is not in\n{printed}");
    }
    assert!(printed.contains("Did you mean server.max_connections?"), "{printed}");
    assert!(!printed.contains("shpss_written_right_here"), "a secret in the wrong place is not printed");
    assert_eq!(home.run(&["serve"]).status.code(), Some(1));

    home.configure("[tls]\ncertificate = \"nowhere.pem\"\nprivate_key = \"nowhere.key\"\n[store]\npath = \"no/such/directory/events.db\"");
    let printed = stderr_text(&home.run(&["config", "check"]));
    assert!(printed.contains("nowhere.pem") && printed.contains("no/such/directory"), "{printed}");
}

/// A missing secret of another source does not prevent `send`.
#[test]
fn send_needs_only_the_secret_of_its_source() {
    let home = Home::new("");
    let daemon = home.serve();
    home.edit_config("file:keycloak", "credential:keycloak");
    let to = daemon.address.to_string();
    assert!(home.run_ok(&["send", "easypost", "--to", &to]).contains("received"));
    let refused = home.run(&["send", "keycloak", "--to", &to]);
    assert!(
        stderr_text(&refused).contains("only the service can read it, and root while the service runs"),
        "{}",
        stderr_text(&refused)
    );
}

/// A read from a pipe would wait for ever.
#[test]
fn pipes_are_refused_as_files() {
    let home = Home::new("");
    let pipe = home.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    home.edit_config("file:other", "file:pipe");
    let printed = home.run(&["config", "check"]);
    assert!(stderr_text(&printed).contains("is a pipe: a read could block for ever"), "{}", stderr_text(&printed));
    let printed = Command::new(BIN).arg("--config").arg(&pipe).args(["config", "check"]).output().unwrap();
    assert!(stderr_text(&printed).contains("is a pipe. Name a regular file"), "{}", stderr_text(&printed));
}

#[test]
fn every_documented_configuration_key_is_read() {
    let home = Home::new(
        "[worker]\nmax_attempts = 8\nbackoff_base = \"15s\"\nbackoff_max = \"6h\"\nlease = \"5m\"\n\
         [sps]\nsecrets = [\"file:acme\"]\ninterval = \"0\"\noutgoing = \"out\"\n\
         [[sps.sources]]\nname = \"acme\"\nurl = \"sftp://acme@sftp.example.com:22/out\"\nsecrets = [\"file:acme\"]\n\
         host_key = \"first-use\"\nafter = \"archive\"\n[[sps.sources]]\nname = \"api\"\nurl = \"https://api.example.com/transactions/v5/data/out\"\n\
         client_id = \"novex\"\nsecrets = [\"file:acme\"]\n[[sps.sources]]\nname = \"local\"\nurl = \"file:///srv/sps/in\"\n\
         [[destinations]]\nname = \"erp\"\ntype = \"http\"\nurl = \"https://erp.lan/hooks/novex\"\n\
         topics = [\"shopify:orders/*\", \"easypost:*\", \"sps:*\"]\nsecrets = [\"file:erp\"]\ntimeout = \"30s\"\n\
         [[destinations]]\nname = \"import\"\ntype = \"command\"\ncommand = [\"/usr/local/bin/import\", \"--json\"]\n\
         topics = [\"*\"]\n[[destinations]]\nname = \"files\"\ntype = \"directory\"\npath = \"/srv/erp/in\"\ntopics = [\"*\"]\n",
    );
    fs::write(home.path("erp"), crate::support::destinations::SECRET).unwrap();
    let output = home.run(&["config", "check"]);
    assert!(output.status.success(), "{}", stderr_text(&output));
}

#[test]
fn destination_errors_are_reported_with_hints() {
    let home = Home::new(
        "[[destinations]]\nname = \"e r p\"\ntype = \"ftp\"\n[[destinations]]\nname = \"a\"\ntype = \"http\"\nurl = \"erp.lan\"\n\
         topics = [\"orders/*\"]\nclient_key = \"k\"\n[[destinations]]\nname = \"b\"\ntype = \"command\"\ncommand = \"import\"\n\
         topics = [\"*\"]\n[[destinations]]\nname = \"b\"\ntype = \"directory\"\n",
    );
    let printed = stderr_text(&home.run(&["config", "check"]));
    for expected in [
        "destinations.name: is not a name",
        "destinations.type: \"ftp\" is not a destination type",
        "destinations.url: is not a URL",
        "destinations: has only one of client_certificate and client_key",
        "destinations.topics: \"orders/*\" names no source",
        "destinations.command: is not an absolute path",
        "destinations.name: \"b\" appears twice",
        "destinations: has no path",
        "destinations: has no topics",
    ] {
        assert!(printed.contains(expected), "{expected} is not in\n{printed}");
    }
    // One fault of a secret is one error.
    let destination = "[[destinations]]\nname = \"erp\"\ntype = \"http\"\nurl = \"https://erp.example.com\"\n\
                       topics = [\"*\"]\nsecrets = [\"file:erp\"]\n";
    home.configure(destination);
    fs::write(home.path("erp"), "whsec_a-b_c-d_").unwrap();
    let printed = stderr_text(&home.run(&["config", "check"]));
    assert_eq!(printed.trim().lines().count(), 1, "{printed}");
    assert!(printed.contains("destinations.secrets: the secret in file:erp is URL-safe base64, which"), "{printed}");
}

#[test]
fn log_contains_no_secrets_and_no_bodies() {
    let home = Home::new("[log]\nlevel = \"trace\"\nformat = \"json\"");
    let daemon = home.serve();
    daemon.send_order("w", br#"{"id":1,"email":"buyer@example.com","total_price":"oops"}"#);
    daemon.request(&crate::support::keycloak_request(br#"{"type":"LOGIN","details":{"username":"ada-the-customer"}}"#));
    home.wait_until_processed();
    daemon.stop();
    let log = home.log();
    let lines = parse_json_lines(&log);
    let about: Vec<&Value> = lines.iter().filter(|line| line.get("event").is_some()).collect();
    assert!(about.len() >= 3, "lines about an event have its id: {log}");
    for private in [SECRET, KEYCLOAK_SECRET, "buyer@example.com", "ada-the-customer", "oops"] {
        assert!(!log.contains(private), "{private} is in the log");
    }
}

#[test]
fn help_version_completions_and_manual_are_generated() {
    let run = |arguments: &[&str]| Command::new(BIN).args(arguments).output().unwrap();
    let text = |arguments: &[&str]| {
        let output = run(arguments);
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(text(&["--version"]).trim(), concat!("novex-ingest ", env!("CARGO_PKG_VERSION")));
    let help = text(&["--help"]);
    for command in ["serve", "work", "events", "stats", "send", "config", "completions", "man"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is not in {help}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(text(&["completions", shell]).contains("rejected"), "{shell}");
    }
    let script = tempfile::NamedTempFile::new().unwrap();
    fs::write(script.path(), text(&["completions", "bash"])).unwrap();
    assert!(Command::new("bash").arg("-n").arg(script.path()).status().unwrap().success());
    assert!(text(&["man"]).contains(".TH novex-ingest 1"));
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("share/man");
    text(&["man", "--out", pages.to_str().unwrap()]);
    assert!(pages.join("novex-ingest-events-list.1").exists());
    assert!(pages.join("novex-ingest.toml.5").exists());
    for wrong in [&[][..], &["nonsense"], &["events"], &["events", "list", "--status", "lost"], &["send", "stripe"]] {
        assert_eq!(run(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

/// The quick start of the README, in an empty directory.
#[test]
fn checkout_runs_without_edits() {
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        Command::new(BIN).args(arguments).current_dir(directory.path()).env_remove("NOVEX_CONFIG").output().unwrap()
    };
    // The first use of --dev makes the files. Port 0 replaces 8443, which another test or daemon may use.
    assert_eq!(run(&["--dev", "stats"]).status.code(), Some(1));
    let config = directory.path().join("var/config.toml");
    let made = fs::read_to_string(&config).unwrap();
    assert!(made.contains("127.0.0.1:8443"));
    fs::write(&config, made.replace("127.0.0.1:8443", "127.0.0.1:0")).unwrap();
    let mut daemon = Command::new(BIN)
        .args(["serve", "--dev"])
        .current_dir(directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(daemon.stdout.take().unwrap()), &mut line).unwrap();
    let to = line.trim().strip_prefix("novex-ingest ready https://").unwrap().to_owned();
    let sent = run(&["send", "shopify", "orders/create", "--real", "--to", &to]);
    assert!(sent.status.success(), "{}", stderr_text(&sent));
    // The README's commands with curl and openssl, with this port.
    let script = format!(
        r#"curl -sS --cacert var/tls/self-signed.pem https://localhost:{}/api/webhooks/shopify/orders/create \
           --data-binary @body -H 'X-Shopify-Topic: orders/create' -H 'X-Shopify-Shop-Domain: acme-foods.myshopify.com' \
           -H "X-Shopify-Webhook-Id: $(openssl rand -hex 16)" \
           -H "X-Shopify-Hmac-Sha256: $(openssl dgst -sha256 -hmac "$(cat var/secrets/shopify)" -binary body | base64)""#,
        to.rsplit_once(':').unwrap().1
    );
    fs::write(directory.path().join("body"), order_body(5)).unwrap();
    let curl = Command::new("bash").args(["-c", &script]).current_dir(directory.path()).output().unwrap();
    assert!(String::from_utf8_lossy(&curl.stdout).contains("\"duplicate\":false"), "{curl:?}");
    let db = directory.path().join("var/events.db");
    let start = std::time::Instant::now();
    while crate::support::sql(&db, "SELECT count(*) FROM sales_orders") != "2" {
        assert!(start.elapsed() < crate::support::WAIT_MAX);
    }
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}

#[test]
fn config_check_reports_errors_of_opening_files() {
    let home =
        Home::new("[tls]\ncertificate = \"/nowhere/c.pem\"\nprivate_key = \"/nowhere/k.pem\"\n[worker]\nbatch = 0");
    let output = home.run(&["config", "check"]);
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = std::fs::read_to_string(home.config()).unwrap();
    let line = |needle: &str| text.lines().position(|line| line.contains(needle)).unwrap() + 1;
    for (key, needle) in [("tls.certificate", "certificate ="), ("worker.batch", "batch =")] {
        assert!(printed.contains(&format!("config.toml:{}: {key}: ", line(needle))), "{key}: {printed}");
    }
}

#[test]
fn rejections_are_filtered_by_time_source_topic_and_status() {
    let home = Home::new("");
    let daemon = home.serve();
    daemon.request(&crate::support::shopify_request("w", b"{}").with_header("X-Shopify-Hmac-Sha256", "wrong"));
    daemon.request(&crate::support::Request::post("/api/keycloak/events", b"{}"));
    daemon.request(&crate::support::Request::new("GET", "/nowhere"));
    home.wait_for("SELECT count(*) FROM rejected_requests", "3");
    let count =
        |arguments: &[&str]| home.run_ok(&[&["events", "rejected", "--json"], arguments].concat()).lines().count();
    assert_eq!(count(&["--since", "1h"]), 3);
    assert_eq!(count(&["--since", "2100-01-01T00:00:00Z"]), 0);
    assert_eq!(count(&["--source", "shopify"]), 1);
    assert_eq!(count(&["--source", "keycloak"]), 1);
    assert_eq!(count(&["--topic", "orders/*"]), 1);
    assert_eq!(count(&["--status", "404"]), 1);
    assert_eq!(count(&["--limit", "2"]), 2);
    assert_eq!(
        home.run(&["events", "retry", "1", "--source", "shopify"]).status.code(),
        Some(2),
        "ids and filters exclude each other"
    );
}

/// Reading commands also report a file of another program and a newer schema.
#[test]
fn reading_commands_recognise_foreign_databases() {
    let home = Home::new("");
    home.sql("CREATE TABLE theirs (a)");
    let printed = String::from_utf8(home.run(&["stats"]).stderr).unwrap();
    assert!(printed.contains("another program"), "{printed}");
    std::fs::remove_file(home.db()).unwrap();
    std::fs::write(home.db(), b"").unwrap();
    let printed = String::from_utf8(home.run(&["events", "list"]).stderr).unwrap();
    assert!(printed.contains("no database exists here yet"), "{printed}");
    assert!(String::from_utf8(home.run(&["work", "--once"]).stderr).unwrap().len() < 2000);
}

/// A port in use is an error only if another program has it, which the message names.
#[test]
fn config_check_names_the_program_that_has_the_port() {
    let home = Home::new("");
    let daemon = home.serve();
    home.edit_config("127.0.0.1:0", &daemon.address.to_string());
    let own = home.run(&["config", "check"]);
    let printed = format!("{}{}", String::from_utf8_lossy(&own.stdout), stderr_text(&own));
    assert!(own.status.success() && !printed.contains("is in use"), "{printed}");
    daemon.stop();
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = std::fs::read_to_string(home.config()).unwrap();
    let listen = text.lines().find(|line| line.starts_with("listen")).unwrap();
    home.edit_config(listen, &format!("listen = \"{}\"", socket.local_addr().unwrap()));
    let refused = home.run(&["config", "check"]);
    let process = format!("(process {})", std::process::id());
    assert!(refused.status.code() == Some(1) && stderr_text(&refused).contains(&process), "{refused:?}");
}

/// Lines belong to a private key. In other secrets a space or a line end is named with its place.
#[test]
fn private_key_causes_no_warning() {
    let home = Home::new("");
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    std::fs::write(home.path("key"), &key).unwrap();
    home.configure(
        "[backup]\nurl = \"sftp://novex@127.0.0.1:1/x\"\nsecrets = [\"file:key\"]\nhost_key = \"ssh-ed25519 \
         AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ\"",
    );
    let output = home.run(&["config", "check"]);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(!printed.contains("secret in") && !printed.contains("private key"), "{printed}");
    std::fs::write(home.path("easypost"), &key).unwrap();
    std::fs::write(home.path("keycloak"), " token\n").unwrap();
    let printed = String::from_utf8_lossy(&home.run(&["config", "check"]).stdout).into_owned();
    assert!(printed.contains("easypost.secrets names a private key"), "{printed}");
    assert!(printed.contains("begins with a space or a line end"), "{printed}");
}
