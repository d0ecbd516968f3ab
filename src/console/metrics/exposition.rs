//! Families of metrics, and their text.

use crate::metrics::HistogramSnapshot;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

pub(super) use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;

/// Beginning of each name.
const PREFIX: &str = "novex_ingest";

/// One metric with all its label values.
#[derive(Debug)]
pub(super) struct MetricFamily {
    /// Name without the prefix; a counter's without `_total`.
    pub name: &'static str,
    pub help: &'static str,
    pub samples: MetricSamples,
}

/// Labels of a sample, each with its value.
pub(super) type Labels = Vec<(&'static str, String)>;

/// The values of a family, all of one type.
#[derive(Debug)]
pub(super) enum MetricSamples {
    Counters(Vec<(Labels, u64)>),
    Gauges(Vec<(Labels, i64)>),
    Histograms(Vec<(Labels, HistogramSnapshot)>),
}

impl MetricFamily {
    /// Returns a gauge without labels.
    pub(super) fn gauge(name: &'static str, help: &'static str, value: i64) -> Self {
        Self::gauges(name, help, [(Vec::new(), value)])
    }

    /// Returns gauges with labels.
    pub(super) fn gauges(
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, i64)>,
    ) -> Self {
        Self { name, help, samples: MetricSamples::Gauges(samples.into_iter().collect()) }
    }

    /// Returns counters with labels.
    pub(super) fn counters(
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, u64)>,
    ) -> Self {
        Self { name, help, samples: MetricSamples::Counters(samples.into_iter().collect()) }
    }

    /// Returns histograms with labels.
    pub(super) fn histograms(
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, HistogramSnapshot)>,
    ) -> Self {
        Self { name, help, samples: MetricSamples::Histograms(samples.into_iter().collect()) }
    }
}

/// The families of one scrape.
#[derive(Debug)]
struct Scrape(Vec<MetricFamily>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for family in &self.0 {
            match &family.samples {
                MetricSamples::Counters(samples) => {
                    let mut metric = encoder.encode_descriptor(family.name, family.help, None, MetricType::Counter)?;
                    for (labels, value) in samples {
                        metric.encode_family(labels)?.encode_counter::<NoLabelSet, _, f64>(value, None)?;
                    }
                }
                MetricSamples::Gauges(samples) => {
                    let mut metric = encoder.encode_descriptor(family.name, family.help, None, MetricType::Gauge)?;
                    for (labels, value) in samples {
                        metric.encode_family(labels)?.encode_gauge(value)?;
                    }
                }
                MetricSamples::Histograms(samples) => {
                    let mut metric =
                        encoder.encode_descriptor(family.name, family.help, None, MetricType::Histogram)?;
                    for (labels, HistogramSnapshot { sum, count, buckets }) in samples {
                        let mut sample = metric.encode_family(labels)?;
                        sample.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Returns the text of the families.
pub(super) fn encode_families(families: Vec<MetricFamily>) -> String {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Scrape(families)));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry).expect("a String takes any text");
    text
}
