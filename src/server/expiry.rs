//! How long the certificate lasts.

use super::tls::{self, Files};
use crate::clock::{Clock, Timestamp};
use anyhow::{Context, bail};
use std::time::Duration;
use tracing::{error, warn};
use x509_parser::parse_x509_certificate;

/// People are told when so many days are left, and once it is over.
const TOLD_AT: [i64; 3] = [21, 7, 1];
const LOOK_EVERY: Duration = Duration::from_hours(1);
const DAY_SECONDS: i64 = 86_400;

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validity {
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// It is its own authority: no provider takes it without being told to.
    pub is_self_signed: bool,
    /// Certificates in the file; one alone is a chain only if it is self-signed or its issuer is an authority itself.
    pub chain: usize,
    /// Whom it is for.
    pub names: Vec<String>,
}

impl Validity {
    /// Whole days that are left; below 0 when it is over.
    #[must_use]
    pub fn days_left(&self, now: Timestamp) -> i64 {
        (self.not_after.as_second() - now.as_second()).div_euclid(DAY_SECONDS)
    }
}

/// Reads it from the file that serves.
///
/// # Errors
/// When the file cannot be read or is no certificate.
pub fn read(files: &Files) -> anyhow::Result<Validity> {
    let chain = tls::certificates(&files.certificate)?;
    let shown = files.certificate.display();
    for other in &chain[1..] {
        parse_x509_certificate(other).with_context(|| format!("a certificate of the chain in {shown} is damaged"))?;
    }
    let (_, own) = parse_x509_certificate(&chain[0]).with_context(|| format!("{shown} is no X.509 certificate"))?;
    let time = |seconds: i64| Timestamp::from_second(seconds).context("a time that cannot be");
    let names = own.subject_alternative_name()?.map_or(Vec::new(), |names| {
        let all = names.value.general_names.iter();
        all.filter_map(|name| match name {
            x509_parser::extensions::GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect()
    });
    if own.validity().not_after < own.validity().not_before {
        bail!("{shown} ends before it begins");
    }
    Ok(Validity {
        not_before: time(own.validity().not_before.timestamp())?,
        not_after: time(own.validity().not_after.timestamp())?,
        is_self_signed: own.subject() == own.issuer(),
        chain: chain.len(),
        names,
    })
}

/// Which threshold a certificate has passed, in days, -1 when it is over; `None` while it has long. `is_kept`: the daemon renews it itself.
#[must_use]
pub fn warned(validity: &Validity, is_kept: bool, now: Timestamp) -> Option<i64> {
    passed(validity.days_left(now), is_kept.then(|| validity.days_left(validity.not_before)))
}

/// The threshold that a certificate with so many days left has passed. One that is `kept` by the daemon itself, and lives so many
/// days, may live so short that it always has few left: its thresholds are those that it passes only when its renewal has failed.
fn passed(days: i64, kept: Option<i64>) -> Option<i64> {
    if days < 0 {
        return Some(-1);
    }
    TOLD_AT.into_iter().rev().filter(|limit| kept.is_none_or(|life| limit * 4 < life)).find(|limit| days <= *limit)
}

/// Tells people in time, once at each threshold, until it is aborted. `is_kept`: the daemon renews it itself.
pub async fn watch(files: Files, is_kept: bool, clock: Clock) {
    let mut told = None;
    loop {
        if let Ok(validity) = read(&files) {
            let days = validity.days_left(clock.now());
            let now = warned(&validity, is_kept, clock.now());
            if now.is_some() && now != told {
                let file = files.certificate.display();
                if days < 0 {
                    error!("the certificate {file} has ended: no provider delivers any more until there is a new one");
                } else {
                    let mend = if is_kept { "its renewal is late, `novex-ingest doctor` says why" } else { "renew it" };
                    warn!("the certificate {file} ends in {days} days, and then no provider delivers any more: {mend}");
                }
            }
            told = now;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::passed;

    #[test]
    fn it_is_told_at_21_7_and_1_days_and_at_the_end() {
        for (days, wanted) in [
            (22, None),
            (21, Some(21)),
            (8, Some(21)),
            (7, Some(7)),
            (2, Some(7)),
            (1, Some(1)),
            (0, Some(1)),
            (-1, Some(-1)),
        ] {
            assert_eq!(passed(days, None), wanted, "{days}");
        }
        // Of 90 days a third is left at its renewal, of 6 days a half.
        for (days, life, wanted) in
            [(21, 90, Some(21)), (21, 47, None), (7, 47, Some(7)), (3, 6, None), (1, 6, Some(1))]
        {
            assert_eq!(passed(days, Some(life)), wanted, "{days} of {life}");
        }
    }
}
