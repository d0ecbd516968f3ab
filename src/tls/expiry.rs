//! Warns before the certificate expires.

use crate::clock::{Clock, Timestamp};
use crate::text::format_count;
use crate::tls::certificates;
use crate::tls::certificates::CertificateFiles;
use anyhow::{Context, bail};
use std::time::Duration;
use tracing::{error, warn};
use x509_parser::parse_x509_certificate;

/// Days left at which the daemon logs a warning. It logs an error after the end.
const WARN_DAYS_LEFT: [i64; 3] = [21, 7, 1];
const EXPIRY_CHECK_INTERVAL: Duration = Duration::from_hours(1);
const DAY_SECONDS: i64 = 86_400;

/// Names and validity period of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInfo {
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// The issuer is the subject: a provider accepts it only if configured to.
    pub is_self_signed: bool,
    /// Number of certificates in the file. One alone is complete if it is self-signed or an authority issued it
    /// directly.
    pub chain_len: usize,
    /// DNS names that the certificate is valid for.
    pub names: Vec<String>,
}

impl CertificateInfo {
    /// Returns the whole days until the certificate expires; negative after that.
    #[must_use]
    pub fn days_left(&self, now: Timestamp) -> i64 {
        (self.not_after.as_second() - now.as_second()).div_euclid(DAY_SECONDS)
    }
}

/// Reads names and validity period from the certificate file.
///
/// # Errors
/// If the file cannot be read, is not a certificate, or expires before it becomes valid.
pub fn read_certificate_info(files: &CertificateFiles) -> anyhow::Result<CertificateInfo> {
    let chain = certificates::read_certificate_chain(&files.certificate)?;
    let shown = files.certificate.display();
    for other in &chain[1..] {
        parse_x509_certificate(other).with_context(|| format!("a certificate of the chain in {shown} is damaged"))?;
    }
    let (_, own) = parse_x509_certificate(&chain[0]).with_context(|| format!("{shown} is not an X.509 certificate"))?;
    let time = |seconds: i64| Timestamp::from_second(seconds).context("a time in the certificate is out of range");
    let names = own.subject_alternative_name()?.map_or(Vec::new(), |names| {
        let all = names.value.general_names.iter();
        all.filter_map(|name| match name {
            x509_parser::extensions::GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect()
    });
    if own.validity().not_after < own.validity().not_before {
        bail!("the certificate {shown} expires before it becomes valid");
    }
    Ok(CertificateInfo {
        not_before: time(own.validity().not_before.timestamp())?,
        not_after: time(own.validity().not_after.timestamp())?,
        is_self_signed: own.subject() == own.issuer(),
        chain_len: chain.len(),
        names,
    })
}

/// Returns the threshold that a certificate has passed, in days left: -1 after its end, `None` before the first one.
///
/// `is_managed`: the daemon renews the certificate.
#[must_use]
pub fn find_expiry_threshold(info: &CertificateInfo, is_managed: bool, now: Timestamp) -> Option<i64> {
    find_passed_threshold(info.days_left(now), is_managed.then(|| info.days_left(info.not_before)))
}

/// Returns the threshold that a certificate with `days` left has passed.
///
/// `lifetime_days` is the lifetime of a certificate that the daemon renews. A short lifetime means that few days are
/// always left: only those thresholds count that the certificate passes when its renewal failed.
fn find_passed_threshold(days: i64, lifetime_days: Option<i64>) -> Option<i64> {
    if days < 0 {
        return Some(-1);
    }
    WARN_DAYS_LEFT
        .into_iter()
        .rev()
        .filter(|limit| lifetime_days.is_none_or(|lifetime| limit * 4 < lifetime))
        .find(|limit| days <= *limit)
}

/// Logs each passed threshold once. Runs until its task is aborted. `is_managed`: the daemon renews the certificate.
pub async fn watch_expiry(files: CertificateFiles, is_managed: bool, clock: Clock) {
    let mut logged_threshold = None;
    loop {
        if let Ok(info) = read_certificate_info(&files) {
            let threshold = find_expiry_threshold(&info, is_managed, clock.now());
            if threshold.is_some() && threshold != logged_threshold {
                log_expiry(&files, info.days_left(clock.now()), is_managed);
            }
            logged_threshold = threshold;
        }
        tokio::time::sleep(EXPIRY_CHECK_INTERVAL).await;
    }
}

fn log_expiry(files: &CertificateFiles, days: i64, is_managed: bool) {
    let file = files.certificate.display();
    let fix = if is_managed { "its renewal is late, `novex-ingest doctor` reports why" } else { "renew it" };
    match days {
        ..0 => error!("the certificate {file} expired; no provider delivers until there is a new one: {fix}"),
        0 => warn!("the certificate {file} expires within a day; then no provider delivers: {fix}"),
        _ => {
            let days = format_count(days, "day", "days");
            warn!("the certificate {file} expires in {days}; then no provider delivers: {fix}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::find_passed_threshold;

    #[test]
    fn warnings_come_at_21_7_and_1_days_and_after_expiry() {
        for (days, expected) in [
            (22, None),
            (21, Some(21)),
            (8, Some(21)),
            (7, Some(7)),
            (2, Some(7)),
            (1, Some(1)),
            (0, Some(1)),
            (-1, Some(-1)),
        ] {
            assert_eq!(find_passed_threshold(days, None), expected, "{days}");
        }
        // At renewal a third of 90 days is left, or half of 6 days.
        for (days, lifetime, expected) in
            [(21, 90, Some(21)), (21, 47, None), (7, 47, Some(7)), (3, 6, None), (1, 6, Some(1))]
        {
            assert_eq!(find_passed_threshold(days, Some(lifetime)), expected, "{days} of {lifetime}");
        }
    }
}
