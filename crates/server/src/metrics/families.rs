//! How metrics are written one after the other.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder};
use prometheus_client::metrics::MetricType;

use super::line::Line;

/// The name, help and type of a metric.
pub(super) struct Form {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) metric_type: MetricType,
}

impl Form {
    pub(super) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, metric_type: MetricType::Counter }
    }

    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, metric_type: MetricType::Gauge }
    }
}

/// Writes metrics one after the other.
///
/// All values but histograms go through `encode_gauge`, counters too: `encode_counter` appends
/// `_total` to the samples and not to the type line, which is OpenMetrics and not format 0.0.4.
pub(super) struct Families<'a>(pub(super) DescriptorEncoder<'a>);

impl Families<'_> {
    pub(super) fn family(&mut self, form: Form) -> Result<MetricEncoder<'_>, fmt::Error> {
        self.0.encode_descriptor(form.name, form.help, None, form.metric_type)
    }

    pub(super) fn one(&mut self, form: Form, value: impl EncodeGaugeValue) -> fmt::Result {
        self.family(form)?.encode_gauge(&value)
    }

    pub(super) fn by_sequence<'l, V: EncodeGaugeValue>(
        &mut self,
        form: Form,
        values: impl Iterator<Item = (&'l Line, V)>,
    ) -> fmt::Result {
        let mut family = self.family(form)?;
        for (line, value) in values {
            family.encode_family(&[("sequence", line.label.as_str())])?.encode_gauge(&value)?;
        }
        Ok(())
    }

    pub(super) fn by_label(
        &mut self,
        form: Form,
        label: &str,
        values: impl IntoIterator<Item = (&'static str, u64)>,
    ) -> fmt::Result {
        let mut family = self.family(form)?;
        for (name, value) in values {
            family.encode_family(&[(label, name)])?.encode_gauge(&value)?;
        }
        Ok(())
    }
}
