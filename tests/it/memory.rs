//! The memory of the daemon under its systemd unit: events with large bodies, and unsigned bodies, stay within the
//! bound of docs/performance.md, and the memory goes back to the system.

use crate::support::root;
use crate::support::{Daemon, Home, order_body, shopify_request, wait_until};
use std::fs;

/// Size of a large body; `server.max_body_bytes` is 16 MiB.
const LARGE_BODY_BYTES: usize = 15_800_000;
/// Bound of the peak: bodies in the server, handlers, deliveries, page caches and the rest.
const PEAK_MAX_MIB: u64 = 750;
/// Bound some time after the last event: page caches and the rest.
const SETTLED_MAX_MIB: u64 = 260;

/// Starts the daemon with the environment of its systemd unit.
fn serve_as_unit(home: &Home) -> Daemon<'_> {
    let unit = fs::read_to_string(root().join("systemd/novex-ingest.service")).unwrap();
    let mut command = home.command(&["serve"]);
    for line in unit.lines().filter_map(|line| line.strip_prefix("Environment=")) {
        command.envs(line.split(' ').filter_map(|variable| variable.split_once('=')));
    }
    home.serve_with(command)
}

/// Returns a field of `/proc/PID/status` in MiB, such as `VmHWM`, the peak of the resident memory.
fn read_memory_mib(daemon: &Daemon<'_>, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(&format!("{field}:"))).expect("the field");
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}

/// Sends orders at the same time, each again until it is stored.
fn send_orders(daemon: &Daemon<'_>, bodies: &[Vec<u8>]) {
    std::thread::scope(|scope| {
        for (n, body) in bodies.iter().enumerate() {
            scope.spawn(move || {
                let request = shopify_request(&format!("large-{n}"), body);
                wait_until(|| daemon.request(&request).status == 200, || format!("order {n} is not stored"));
            });
        }
    });
}

/// Checks the peak now, and waits until memory went back to the system. Small events keep the daemon at work.
fn assert_memory_bounded(home: &Home, daemon: &Daemon<'_>) {
    home.wait_until_processed();
    let peak = read_memory_mib(daemon, "VmHWM");
    assert!(peak <= PEAK_MAX_MIB, "the peak is {peak} MiB");
    let mut n = 0;
    wait_until(
        || {
            n += 1;
            assert_eq!(daemon.send_order(&format!("small-{n}"), &order_body(1_000_000 + n)).status, 200);
            read_memory_mib(daemon, "VmRSS") <= SETTLED_MAX_MIB
        },
        || format!("{} MiB stay in use", read_memory_mib(daemon, "VmRSS")),
    );
}

/// Returns an order whose body is filled by `item`, up to [`LARGE_BODY_BYTES`].
fn fill_order(id: u64, item: impl Fn(u64) -> String) -> Vec<u8> {
    let mut body = format!(
        r##"{{"id":{id},"name":"#{id}","currency":"USD","total_price":"10.00","updated_at":"2026-11-23T10:00:00-05:00","line_items":["##
    );
    for n in 1.. {
        let item = item(n);
        if body.len() + item.len() + 3 > LARGE_BODY_BYTES {
            break;
        }
        body += if n == 1 { "" } else { "," };
        body += &item;
    }
    (body + "]}").into_bytes()
}

#[test]
fn sixteen_large_orders_stay_within_the_bound() {
    let home = Home::new("");
    let daemon = serve_as_unit(&home);
    let bodies: Vec<Vec<u8>> = (1..=16)
        .map(|id| fill_order(id, |n| format!(r#"{{"id":{n},"quantity":1,"title":"{}"}}"#, "x".repeat(200))))
        .collect();
    send_orders(&daemon, &bodies);
    assert_memory_bounded(&home, &daemon);
    assert_eq!(home.count("SELECT count(*) FROM sales_orders WHERE order_id <= 16"), 16);
    daemon.stop();
}

#[test]
fn order_with_as_many_lines_as_fit_stays_within_the_bound() {
    let home = Home::new("");
    let daemon = serve_as_unit(&home);
    let line =
        |n| format!(r#"{{"id":{n},"sku":"JAM-{n}","quantity":2,"price":"5.00","title":"Strawberry jam in a glass"}}"#);
    // 150,000 lines with a few fields each, and as many small lines as a body can have.
    let orders = [fill_order(1, line), fill_order(2, |n| format!(r#"{{"id":{n},"quantity":1}}"#))];
    send_orders(&daemon, &orders);
    assert_memory_bounded(&home, &daemon);
    assert!(home.count("SELECT count(*) FROM sales_order_lines WHERE order_id = 1") > 150_000);
    assert!(home.count("SELECT count(*) FROM sales_order_lines WHERE order_id = 2") > 500_000);
    daemon.stop();
}

#[test]
fn unsigned_bodies_stay_within_their_share() {
    let home = Home::new("");
    let daemon = serve_as_unit(&home);
    let idle = read_memory_mib(&daemon, "VmHWM");
    let body = vec![b'x'; LARGE_BODY_BYTES];
    std::thread::scope(|scope| {
        for n in 0..24 {
            let (daemon, body) = (&daemon, &body);
            scope.spawn(move || {
                let request = shopify_request(&format!("w{n}"), body).with_header("X-Shopify-Hmac-Sha256", "AAAA");
                let status = daemon.request(&request).status;
                assert!([401, 503].contains(&status), "{status}");
            });
        }
    });
    // All come from one address, so `server.max_buffered_bytes_per_address` is the bound. A buffer that grows holds its
    // bytes once more for a moment.
    let peak = read_memory_mib(&daemon, "VmHWM") - idle;
    assert!(peak <= 64 * 3 / 2 + 16, "unsigned bodies took {peak} MiB");
    assert_eq!(daemon.send_order("after", &order_body(1)).status, 200);
    daemon.stop();
}
