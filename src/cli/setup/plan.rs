//! Plan of a setup, from flags or from a person's answers.

use crate::cli::filters::parse_port;
use crate::cli::setup::files::SHOP_DOMAIN_SUFFIX;
use crate::cli::setup::{SetupArgs, SetupCertificate, SetupPlan, SetupSecret, has_webhook_source, people};
use crate::config::{self, Config, dev, secrets};
use crate::runtime;
use crate::secret::Secret;
use anyhow::{Context, bail};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Message for a configuration without a domain.
pub(crate) const DOMAIN_MISSING: &str = "--domain is missing: the public name of this machine";
const NOTHING_TO_RECEIVE: &str = "no source is configured: give --shop, --easypost or --keycloak";

/// Returns the plan of the flags, or None if there are no flags.
///
/// # Errors
/// The configuration and the flags name no domain or no source, or a flag is invalid.
pub(crate) fn read_plan_from_flags(args: &SetupArgs, existing: &Config) -> anyhow::Result<Option<SetupPlan>> {
    let has_flags = args.domain.is_some()
        || args.port.is_some()
        || !args.shop.is_empty()
        || args.easypost
        || args.keycloak
        || args.certificate.is_some()
        || args.acme_args.acme;
    if !has_flags {
        return Ok(None);
    }
    let Some(domain) = args.domain.as_ref().or(existing.domain.as_ref()) else {
        bail!("{DOMAIN_MISSING}");
    };
    check_domain(domain)?;
    let mut plan = SetupPlan { domain: domain.to_ascii_lowercase(), port: args.port, ..SetupPlan::default() };
    for shop in &args.shop {
        let (name, file) = shop.split_once('=').with_context(|| format!("--shop {shop}: write DOMAIN=FILE"))?;
        let name = parse_shop_domain(name)?;
        if plan.has_shop(&name) {
            bail!("--shop {name} is given twice: add one secret at a time, the new one last");
        }
        plan.shops.push((name, read_secret_file(Path::new(file))?));
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
    if plan.receives_nothing() && !has_webhook_source(existing) {
        bail!(NOTHING_TO_RECEIVE);
    }
    Ok(Some(plan))
}

fn read_secret_file(file: &Path) -> anyhow::Result<SetupSecret> {
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    parse_secret(bytes, &format!("the file {}", file.display()))
}

fn parse_secret(bytes: Vec<u8>, place: &str) -> anyhow::Result<SetupSecret> {
    secrets::parse_new_secret(bytes, place).map(SetupSecret::Provided).map_err(anyhow::Error::msg)
}

fn check_domain(name: &str) -> anyhow::Result<()> {
    config::check_domain(name).map_err(anyhow::Error::msg)
}

/// Returns in lower case the domain by which Shopify names a shop in its header. The domain that its customers see can
/// be another one.
fn parse_shop_domain(name: &str) -> anyhow::Result<String> {
    check_domain(name)?;
    let name = name.to_ascii_lowercase();
    if !name.ends_with(SHOP_DOMAIN_SUFFIX) {
        bail!(
            "{name:?} is not Shopify's name of a shop: write NAME.myshopify.com, as in the address of its admin pages"
        );
    }
    Ok(name)
}

/// Asks a person for the plan, and repeats a question after an invalid answer. Fails if the input ends.
///
/// What is configured is the answer to an empty line. `is_started`: the service runs at the end of the setup.
pub(crate) fn prompt_for_plan(existing: &Config, is_started: bool) -> anyhow::Result<SetupPlan> {
    IS_PROMPTING.store(true, Ordering::SeqCst);
    restore_terminal_on_interrupt();
    print_prompt(&format!(
        "This writes {} and its secrets. Nothing changes before you answer the last question.\n",
        existing.path.display()
    ))?;
    let mut plan = SetupPlan { domain: prompt_for_domain(existing.domain.as_deref())?, ..SetupPlan::default() };
    let port = prompt_until_valid(&format!("Port [{}]: ", existing.server.listen.port()), |text| {
        if text.is_empty() { Ok(()) } else { parse_port(text).map(|_port| ()).map_err(anyhow::Error::msg) }
    })?;
    plan.port = port.parse().ok();
    prompt_for_shops(existing, &mut plan)?;
    plan.easypost = prompt_for_provider_secret("EasyPost", existing.easypost.is_some())?;
    plan.keycloak = prompt_for_provider_secret("Keycloak", existing.keycloak.is_some())?;
    plan.certificate = prompt_for_certificate(&plan.domain)?;
    if plan.receives_nothing() && !has_webhook_source(existing) {
        bail!("no source is configured: nothing was changed");
    }
    plan.console_user = people::prompt_for_user(existing, is_started || existing.store.path.exists())?;
    plan.mail = people::prompt_for_mail(existing, &plan.domain)?;
    if !prompt_yes_no("Write the configuration, start the service and send a signed test event of each source?")? {
        bail!("nothing was changed");
    }
    IS_PROMPTING.store(false, Ordering::SeqCst);
    Ok(plan)
}

fn prompt_for_domain(configured: Option<&str>) -> anyhow::Result<String> {
    let example = configured.map_or("(hooks.example.com)".to_owned(), |domain| format!("[{domain}]"));
    let domain = prompt_until_valid(&format!("Public name of this machine {example}: "), |text| {
        if text.is_empty() && configured.is_some() { Ok(()) } else { check_domain(text) }
    })?;
    Ok(if domain.is_empty() { configured.unwrap_or_default().to_owned() } else { domain.to_ascii_lowercase() })
}

/// Asks for shops with a secret each. A configured shop gets the secret beside its old one.
fn prompt_for_shops(existing: &Config, plan: &mut SetupPlan) -> anyhow::Result<()> {
    let configured: Vec<&str> = existing.shopify.iter().map(|shop| shop.domain.as_str()).collect();
    if !configured.is_empty() {
        print_prompt(&format!(
            "Configured: {}. Name one of them again to add a new secret beside the old one.\n",
            configured.join(", ")
        ))?;
    }
    loop {
        let question = if plan.shops.is_empty() && configured.is_empty() {
            "Shopify shop (acme-foods.myshopify.com), empty for none: "
        } else {
            "Another shop, empty to continue: "
        };
        let shop = prompt_until_valid(question, |text| match text {
            "" => Ok(()),
            text if plan.has_shop(&parse_shop_domain(text)?) => bail!("{text} was entered already"),
            _ => Ok(()),
        })?;
        if shop.is_empty() {
            return Ok(());
        }
        let shop = parse_shop_domain(&shop)?;
        let secret = prompt_for_secret(&format!("Secret of {shop} (hidden): "), |text| {
            parse_secret(text.into_bytes(), &format!("the secret of {shop}"))
        })?;
        plan.shops.push((shop, secret));
    }
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

/// Asks for a secret without showing it, and repeats the question after an invalid answer.
pub(super) fn prompt_for_secret(
    question: &str,
    parse: impl Fn(String) -> anyhow::Result<SetupSecret>,
) -> anyhow::Result<SetupSecret> {
    loop {
        let answer = rpassword::prompt_password(question).context("nothing was changed")?;
        match parse(answer.trim().to_owned()) {
            Ok(secret) => return Ok(secret),
            Err(error) => print_prompt(&format!("{error}\n"))?,
        }
    }
}

fn prompt_for_provider_secret(provider: &str, is_configured: bool) -> anyhow::Result<Option<SetupSecret>> {
    let question = if is_configured {
        format!("{provider} is configured. Add a new secret beside the old one?")
    } else {
        format!("Receive events from {provider}?")
    };
    if !prompt_yes_no(&question)? {
        return Ok(None);
    }
    let question = format!("{provider}'s secret (hidden), empty to generate one: ");
    let parse = |text: String| match text.as_str() {
        "" if !is_configured => Ok(SetupSecret::Generated),
        // A new one beside the old one.
        "" => Ok(SetupSecret::Provided(Secret::new(dev::generate_random_hex()?.into_bytes()))),
        _ => parse_secret(text.into_bytes(), &format!("the secret of {provider}")),
    };
    prompt_for_secret(&question, parse).map(Some)
}

pub(super) fn print_prompt(text: &str) -> io::Result<()> {
    let mut out = io::stderr().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

pub(super) fn prompt_until_valid(question: &str, check: impl Fn(&str) -> anyhow::Result<()>) -> anyhow::Result<String> {
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
