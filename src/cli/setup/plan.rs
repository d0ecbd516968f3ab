//! Plan of a setup, from flags or from a person's answers.

use crate::app::runtime;
use crate::cli::filters::parse_port;
use crate::cli::setup::{SetupArgs, SetupCertificate, SetupPlan, SetupSecret};
use crate::secret::Secret;
use anyhow::{Context, bail};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

const PORT_DEFAULT: u16 = 8443;
const NOTHING_TO_RECEIVE: &str = "no source is configured: give --shop, --easypost or --keycloak";

/// Returns the plan of the flags, or None if there are no flags and a person can answer at a terminal.
pub(crate) fn read_plan_from_flags(args: &SetupArgs) -> anyhow::Result<Option<SetupPlan>> {
    let Some(domain) = &args.domain else {
        let has_flags = !args.shop.is_empty()
            || args.easypost
            || args.keycloak
            || args.certificate.is_some()
            || args.acme_args.acme;
        if has_flags || !io::stdin().is_terminal() {
            bail!("--domain is missing: the public name of this machine");
        }
        return Ok(None);
    };
    let mut plan = SetupPlan { domain: domain.clone(), port: args.port, ..SetupPlan::default() };
    check_domain(domain)?;
    for shop in &args.shop {
        let (name, file) = shop.split_once('=').with_context(|| format!("--shop {shop}: write DOMAIN=FILE"))?;
        check_shop_domain(name)?;
        plan.shops.push((name.to_owned(), read_secret_file(Path::new(file))?));
    }
    let read_secret = |is_wanted: bool, file: &Option<PathBuf>| match (is_wanted, file) {
        (false, _) => Ok(None),
        (true, None) => Ok(Some(SetupSecret::Generated)),
        (true, Some(file)) => read_secret_file(file).map(Some),
    };
    plan.easypost = read_secret(args.easypost, &args.easypost_secret)?;
    plan.keycloak = read_secret(args.keycloak, &args.keycloak_secret)?;
    if let (Some(certificate), Some(private_key)) = (&args.certificate, &args.private_key) {
        plan.certificate = SetupCertificate::Files(certificate.clone(), private_key.clone());
    } else if args.acme_args.acme {
        let (email, directory) = (args.acme_args.acme_email.clone(), args.acme_args.acme_directory.clone());
        plan.certificate = SetupCertificate::Acme { email, directory };
    }
    if plan.receives_nothing() {
        bail!(NOTHING_TO_RECEIVE);
    }
    Ok(Some(plan))
}

fn read_secret_file(file: &Path) -> anyhow::Result<SetupSecret> {
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    parse_secret(bytes)
}

/// Parses a secret. One line end after it does not belong to it.
fn parse_secret(mut bytes: Vec<u8>) -> anyhow::Result<SetupSecret> {
    if bytes.ends_with(b"\n") {
        bytes.pop();
    }
    if bytes.ends_with(b"\r") {
        bytes.pop();
    }
    if bytes.is_empty() {
        bail!("the secret is empty");
    }
    if bytes.iter().any(u8::is_ascii_control) {
        bail!("the secret contains a tab, a line end or another control character");
    }
    Ok(SetupSecret::Provided(Secret::new(bytes)))
}

fn check_domain(name: &str) -> anyhow::Result<()> {
    let is_label =
        |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_domain = name.contains('.') && name.split('.').all(is_label) && name.parse::<std::net::IpAddr>().is_err();
    if !is_domain {
        bail!(
            "{name:?} is not a domain: write it as hooks.example.com, without https:// and path, and letters of other \
             languages as xn--…"
        );
    }
    Ok(())
}

/// Checks the domain by which Shopify names a shop in its header. The domain that its customers see can be another one.
fn check_shop_domain(name: &str) -> anyhow::Result<()> {
    check_domain(name)?;
    if !name.to_ascii_lowercase().ends_with(".myshopify.com") {
        bail!(
            "{name:?} is not Shopify's name of a shop: write NAME.myshopify.com, as in the address of its admin pages"
        );
    }
    Ok(())
}

/// Asks a person for the plan, and repeats a question after an invalid answer. Fails if the input ends.
pub(crate) fn prompt_for_plan(config: &Path) -> anyhow::Result<SetupPlan> {
    IS_PROMPTING.store(true, Ordering::SeqCst);
    restore_terminal_on_interrupt();
    print_prompt(&format!(
        "This writes {} and its secrets. Nothing changes before you answer the last question.\n",
        config.display()
    ))?;
    let mut plan = SetupPlan {
        domain: prompt_until_valid("Public name of this machine (hooks.example.com): ", check_domain)?,
        ..SetupPlan::default()
    };
    let port = prompt_until_valid(&format!("Port [{PORT_DEFAULT}]: "), |text| {
        if text.is_empty() { Ok(()) } else { parse_port(text).map(|_port| ()).map_err(anyhow::Error::msg) }
    })?;
    plan.port = port.parse().ok();
    loop {
        let question = if plan.shops.is_empty() {
            "Shopify shop (acme-foods.myshopify.com), empty for none: "
        } else {
            "Another shop, empty to continue: "
        };
        let shop = prompt_until_valid(question, |text| if text.is_empty() { Ok(()) } else { check_shop_domain(text) })?;
        if shop.is_empty() {
            break;
        }
        match parse_secret(prompt_for_secret(&format!("Secret of {shop} (hidden): "))?.into_bytes()) {
            Ok(secret) => plan.shops.push((shop, secret)),
            Err(error) => print_prompt(&format!("{error}\n"))?,
        }
    }
    plan.easypost = prompt_for_provider_secret("EasyPost")?;
    plan.keycloak = prompt_for_provider_secret("Keycloak")?;
    plan.certificate = prompt_for_certificate(&plan.domain)?;
    if plan.receives_nothing() {
        bail!("no source is configured: nothing was changed");
    }
    if !prompt_yes_no("Write the configuration, start the service and send a signed test event of each source?")? {
        bail!("nothing was changed");
    }
    IS_PROMPTING.store(false, Ordering::SeqCst);
    Ok(plan)
}

fn prompt_for_certificate(domain: &str) -> anyhow::Result<SetupCertificate> {
    let choice = prompt_until_valid(
        &format!(
            "Certificate:\n  \
             1  from Let's Encrypt, renewed automatically; port 443 of {domain} must lead to this machine\n  \
             2  from files that you have\n  \
             3  self-signed, or as configured: for a trial\nChoose [1/2/3]: "
        ),
        |text| if ["1", "2", "3"].contains(&text) { Ok(()) } else { bail!("answer 1, 2 or 3") },
    )?;
    match choice.as_str() {
        "1" => {
            if !prompt_yes_no("Do you agree to Let's Encrypt's terms (https://letsencrypt.org/repository/)?")? {
                bail!("Let's Encrypt requires your agreement: nothing was changed");
            }
            let email = prompt_until_valid("E-mail address for its notices, empty for none: ", |text| {
                if text.is_empty() || text.contains('@') { Ok(()) } else { bail!("{text:?} is not an e-mail address") }
            })?;
            Ok(SetupCertificate::Acme { email: (!email.is_empty()).then_some(email), directory: None })
        }
        "2" => {
            let check_file =
                |text: &str| if Path::new(text).is_file() { Ok(()) } else { bail!("no such file: {text}") };
            let certificate = prompt_until_valid("File of the certificate with its whole chain: ", check_file)?;
            let key = prompt_until_valid("File of its private key: ", check_file)?;
            Ok(SetupCertificate::Files(certificate.into(), key.into()))
        }
        _ => Ok(SetupCertificate::Unchanged),
    }
}

/// True until the last answer. After it, an interrupt does not stop the setup half-way.
static IS_PROMPTING: AtomicBool = AtomicBool::new(false);

/// Restores the terminal if Ctrl-C ends a hidden question, which has switched the echo off.
fn restore_terminal_on_interrupt() {
    let Ok(terminal) = rustix::termios::tcgetattr(io::stdin()) else { return };
    let wait_for_interrupt = move || {
        let interrupted = runtime::block_on(async { tokio::signal::ctrl_c().await });
        if matches!(interrupted, Ok(Ok(()))) && IS_PROMPTING.load(Ordering::SeqCst) {
            let _ = rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, &terminal);
            let _ = print_prompt("\nnothing was changed\n");
            std::process::exit(130);
        }
    };
    // Without the thread, an interrupt ends the process as usual.
    let _ = std::thread::Builder::new().name("interrupt".to_owned()).spawn(wait_for_interrupt);
}

/// Asks for a secret without showing it.
fn prompt_for_secret(question: &str) -> anyhow::Result<String> {
    Ok(rpassword::prompt_password(question).context("nothing was changed")?.trim().to_owned())
}

fn prompt_for_provider_secret(provider: &str) -> anyhow::Result<Option<SetupSecret>> {
    if !prompt_yes_no(&format!("Receive events from {provider}?"))? {
        return Ok(None);
    }
    let secret = prompt_for_secret(&format!("{provider}'s secret (hidden), empty to generate one: "))?;
    if secret.is_empty() { Ok(Some(SetupSecret::Generated)) } else { parse_secret(secret.into_bytes()).map(Some) }
}

fn print_prompt(text: &str) -> io::Result<()> {
    let mut out = io::stderr().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn prompt_until_valid(question: &str, check: impl Fn(&str) -> anyhow::Result<()>) -> anyhow::Result<String> {
    loop {
        print_prompt(question)?;
        let mut answer = String::new();
        if io::stdin().read_line(&mut answer)? == 0 {
            bail!("the input ended: nothing was changed");
        }
        match check(answer.trim()) {
            Ok(()) => return Ok(answer.trim().to_owned()),
            Err(error) => print_prompt(&format!("{error}\n"))?,
        }
    }
}

pub(crate) fn prompt_yes_no(question: &str) -> anyhow::Result<bool> {
    let answer = prompt_until_valid(&format!("{question} [y/n]: "), |text| {
        let is_valid = ["y", "n", "yes", "no"].contains(&text.to_ascii_lowercase().as_str());
        if is_valid { Ok(()) } else { bail!("answer y or n") }
    })?;
    Ok(answer.to_ascii_lowercase().starts_with('y'))
}
