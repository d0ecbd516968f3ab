//! What is wanted: by flags, or asked of a person.

use super::{Arguments, Certificate, Plan, Wanted};
use crate::cli::work;
use crate::secret::Secret;
use anyhow::{Context, bail};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

const PORT: u16 = 8443;

/// The plan of flags; `None` when there are none and a person is there to be asked.
///
/// # Errors
/// When they do not make a plan.
pub(super) fn flags(arguments: &Arguments) -> anyhow::Result<Option<Plan>> {
    let Some(domain) = &arguments.domain else {
        let any = !arguments.shop.is_empty()
            || arguments.easypost
            || arguments.keycloak
            || arguments.certificate.is_some()
            || arguments.authority.acme;
        if any || !io::stdin().is_terminal() {
            bail!("--domain is missing: the name by which this box is reached from outside");
        }
        return Ok(None);
    };
    let mut plan = Plan { domain: domain.clone(), port: arguments.port, ..Plan::default() };
    check_domain(domain)?;
    for shop in &arguments.shop {
        let (name, file) = shop.split_once('=').with_context(|| format!("--shop {shop}: write DOMAIN=FILE"))?;
        check_shop(name)?;
        plan.shops.push((name.to_owned(), given(Path::new(file))?));
    }
    let wanted = |is_wanted: bool, file: &Option<PathBuf>| match (is_wanted, file) {
        (false, _) => Ok(None),
        (true, None) => Ok(Some(Wanted::New)),
        (true, Some(file)) => given(file).map(Some),
    };
    plan.easypost = wanted(arguments.easypost, &arguments.easypost_secret)?;
    plan.keycloak = wanted(arguments.keycloak, &arguments.keycloak_secret)?;
    if let (Some(certificate), Some(private_key)) = (&arguments.certificate, &arguments.private_key) {
        plan.certificate = Certificate::Files(certificate.clone(), private_key.clone());
    } else if arguments.authority.acme {
        let (email, directory) = (arguments.authority.acme_email.clone(), arguments.authority.acme_directory.clone());
        plan.certificate = Certificate::Acme { email, directory };
    }
    if plan.shops.is_empty() && plan.easypost.is_none() && plan.keycloak.is_none() {
        bail!("nothing is to be received: give --shop, --easypost or --keycloak");
    }
    Ok(Some(plan))
}

fn given(file: &Path) -> anyhow::Result<Wanted> {
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    secret(bytes)
}

/// One line end after it is no part of it.
fn secret(mut bytes: Vec<u8>) -> anyhow::Result<Wanted> {
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
        bail!("the secret has a tab, a line end or the like in it");
    }
    Ok(Wanted::Given(Secret::new(bytes)))
}

fn check_domain(name: &str) -> anyhow::Result<()> {
    let is_label =
        |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let fits = name.contains('.') && name.split('.').all(is_label) && name.parse::<std::net::IpAddr>().is_err();
    if !fits {
        bail!(
            "{name:?} is no domain: write it as hooks.example.com, without https:// and path, letters of other languages as xn--…"
        );
    }
    Ok(())
}

/// Shopify names a shop by this domain in its header, whatever domain its customers see.
fn check_shop(name: &str) -> anyhow::Result<()> {
    check_domain(name)?;
    let name = name.to_ascii_lowercase();
    if !name.ends_with(".myshopify.com") {
        bail!(
            "{name:?} is not how Shopify names a shop: write NAME.myshopify.com, as in the address of its admin pages"
        );
    }
    Ok(())
}

/// Asks, again where an answer does not fit.
///
/// # Errors
/// When the input ends.
pub(super) fn person(config: &Path) -> anyhow::Result<Plan> {
    ASKING.store(true, Ordering::SeqCst);
    mend_terminal_on_interrupt();
    say(&format!(
        "This writes {} and the secrets beside it. Nothing is changed before the last question.\n",
        config.display()
    ))?;
    let mut plan = Plan {
        domain: until("The name by which this box is reached from outside (hooks.example.com): ", check_domain)?,
        ..Plan::default()
    };
    let port = until(&format!("The port [{PORT}]: "), |text| {
        if text.is_empty() || text.parse::<u16>().is_ok_and(|port| port > 0) {
            Ok(())
        } else {
            bail!("that is no port")
        }
    })?;
    plan.port = port.parse().ok();
    loop {
        let ask = if plan.shops.is_empty() {
            "Shopify shop (acme-foods.myshopify.com), empty for none: "
        } else {
            "Another shop, empty for no more: "
        };
        let shop = until(ask, |text| if text.is_empty() { Ok(()) } else { check_shop(text) })?;
        if shop.is_empty() {
            break;
        }
        match secret(hidden(&format!("The secret of {shop} (it is not shown): "))?.into_bytes()) {
            Ok(secret) => plan.shops.push((shop, secret)),
            Err(error) => say(&format!("{error}\n"))?,
        }
    }
    plan.easypost = made_or_pasted("EasyPost")?;
    plan.keycloak = made_or_pasted("Keycloak")?;
    plan.certificate = certificate(&plan.domain)?;
    if plan.shops.is_empty() && plan.easypost.is_none() && plan.keycloak.is_none() {
        bail!("nothing is to be received: nothing was changed");
    }
    if !yes("Write it, start the service and send it a signed event of each kind?")? {
        bail!("nothing was changed");
    }
    ASKING.store(false, Ordering::SeqCst);
    Ok(plan)
}

fn certificate(domain: &str) -> anyhow::Result<Certificate> {
    let way = until(
        &format!(
            "The certificate:\n  1  Let's Encrypt gives it, and it is renewed by itself; port 443 of {domain} must lead to this box\n  \
             2  from files that you have\n  3  self-signed, or as it is configured: for trying out\nWhich [1/2/3]: "
        ),
        |text| if ["1", "2", "3"].contains(&text) { Ok(()) } else { bail!("1, 2 or 3") },
    )?;
    match way.as_str() {
        "1" => {
            if !yes("Do you agree to Let's Encrypt's terms (https://letsencrypt.org/repository/)?")? {
                bail!("without that it gives no certificate: nothing was changed");
            }
            let email = until("An e-mail address that it may write to, empty for none: ", |text| {
                if text.is_empty() || text.contains('@') { Ok(()) } else { bail!("that is no e-mail address") }
            })?;
            Ok(Certificate::Acme { email: (!email.is_empty()).then_some(email), directory: None })
        }
        "2" => {
            let is_there = |text: &str| if Path::new(text).is_file() { Ok(()) } else { bail!("there is no such file") };
            let certificate = until("The certificate's file with its whole chain: ", is_there)?;
            let key = until("Its private key's file: ", is_there)?;
            Ok(Certificate::Files(certificate.into(), key.into()))
        }
        _ => Ok(Certificate::AsItIs),
    }
}

/// Until the last question is answered. What is written after it is written to its end.
static ASKING: AtomicBool = AtomicBool::new(false);

/// Ctrl-C while a secret is typed would leave the terminal without echo.
fn mend_terminal_on_interrupt() {
    let Ok(before) = rustix::termios::tcgetattr(io::stdin()) else { return };
    let waiting = move || {
        let interrupted = work::block_on(async { tokio::signal::ctrl_c().await });
        if matches!(interrupted, Ok(Ok(()))) && ASKING.load(Ordering::SeqCst) {
            let _ = rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, &before);
            let _ = say("\nnothing was changed\n");
            std::process::exit(130);
        }
    };
    // Without it an interrupt ends the process as it always does.
    let _ = std::thread::Builder::new().name("interrupt".to_owned()).spawn(waiting);
}

/// What is typed is not shown.
fn hidden(question: &str) -> anyhow::Result<String> {
    Ok(rpassword::prompt_password(question).context("nothing was changed")?.trim().to_owned())
}

fn made_or_pasted(provider: &str) -> anyhow::Result<Option<Wanted>> {
    if !yes(&format!("Does {provider} send to this box?"))? {
        return Ok(None);
    }
    let typed = hidden(&format!("{provider}'s secret (it is not shown), empty to have one made: "))?;
    if typed.is_empty() { Ok(Some(Wanted::New)) } else { secret(typed.into_bytes()).map(Some) }
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stderr().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn until(question: &str, fits: impl Fn(&str) -> anyhow::Result<()>) -> anyhow::Result<String> {
    loop {
        say(question)?;
        let mut answer = String::new();
        if io::stdin().read_line(&mut answer)? == 0 {
            bail!("the input ended: nothing was changed");
        }
        match fits(answer.trim()) {
            Ok(()) => return Ok(answer.trim().to_owned()),
            Err(error) => say(&format!("{error}\n"))?,
        }
    }
}

fn yes(question: &str) -> anyhow::Result<bool> {
    let answer = until(&format!("{question} [y/n]: "), |text| {
        if ["y", "n", "yes", "no"].contains(&text.to_ascii_lowercase().as_str()) { Ok(()) } else { bail!("y or n") }
    })?;
    Ok(answer.to_ascii_lowercase().starts_with('y'))
}
