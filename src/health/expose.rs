//! `/metrics`, and the few metrics that `/health` gives a scraper.

use super::{Health, Load, ProviderHealth, VERSION};
use crate::error::Cause;
use crate::metrics::{
    Exposition, Histogram, Probed, ProviderMetrics, Verdict, is_the_providers, process,
};
use crate::record::Refusal;

impl Health {
    /// The few metrics of `/health`.
    pub(super) fn expose_health(&self, out: &mut Exposition, reason: Option<&'static str>) {
        out.family("ccproxy_build_info", "gauge", "The version that runs; always 1.")
            .sample(&[("version", VERSION)], 1);
        out.single("ccproxy_up", "gauge", "That the server answers; always 1.", 1);
        let ready = u8::from(reason.is_none());
        out.single("ccproxy_ready", "gauge", "Whether new messages are welcome.", ready);
        let draining = u8::from(self.is_draining());
        out.single("ccproxy_draining", "gauge", "Whether the server is on its way out.", draining);
        self.each(
            out,
            ("ccproxy_provider_up", "gauge", "Whether the provider's last calls went well."),
            |provider| provider.state.is_up().map(u64::from),
        );
        self.each(
            out,
            (
                "ccproxy_provider_circuit_open",
                "gauge",
                "Whether the provider is left alone for a while.",
            ),
            |provider| Some(u64::from(provider.state.is_circuit_open())),
        );
        self.each(
            out,
            (
                "ccproxy_provider_consecutive_failures",
                "gauge",
                "Failures of the provider since it last answered.",
            ),
            |provider| Some(u64::from(provider.state.consecutive_failures())),
        );
        self.each(
            out,
            (
                "ccproxy_provider_last_success_timestamp_seconds",
                "gauge",
                "When the provider last answered, in seconds since 1970.",
            ),
            |provider| provider.state.last_success(),
        );
    }

    /// A family with one sample for each provider that has a value.
    fn each(
        &self,
        out: &mut Exposition,
        (name, kind, help): (&'static str, &str, &str),
        value: impl Fn(&ProviderHealth) -> Option<u64>,
    ) {
        let samples: Vec<_> =
            self.providers.iter().filter_map(|p| Some((&*p.name, value(p)?))).collect();
        if !samples.is_empty() {
            out.family(name, kind, help);
        }
        for (provider, value) in samples {
            out.sample(&[("provider", provider)], value);
        }
    }

    /// Every metric.
    pub(super) fn exposition(&self, load: Load, is_known: bool) -> Vec<u8> {
        let mut out = if is_known { Exposition::new() } else { Exposition::for_strangers() };
        self.expose_health(&mut out, self.reason());
        let metrics = &self.metrics;
        out.family(
            "ccproxy_requests_total",
            "counter",
            "Messages by the provider that was asked last: answered, failed, and given up by the client.",
        );
        for ProviderHealth { name, metrics, .. } in self.providers.iter().map(|p| &**p) {
            out.sample(&[("provider", name), ("status", "success")], metrics.succeeded.get())
                .sample(&[("provider", name), ("status", "error")], metrics.failed.get())
                .sample(&[("provider", name), ("status", "cancelled")], metrics.cancelled.get());
        }
        out.family(
            "ccproxy_request_duration_seconds",
            "histogram",
            "From the end of a request to the end of its answer.",
        );
        for ProviderHealth { name, metrics, .. } in self.providers.iter().map(|p| &**p) {
            out.histogram(&[("provider", name)], &metrics.duration);
        }
        out.family("ccproxy_tokens_processed_total", "counter", "Tokens of the answered messages.");
        for ProviderHealth { name, metrics, .. } in self.providers.iter().map(|p| &**p) {
            let (input, output) = (metrics.input_tokens.total(), metrics.output_tokens.total());
            out.sample(&[("provider", name), ("type", "input")], input)
                .sample(&[("provider", name), ("type", "output")], output);
        }
        out.family(
            "ccproxy_upstream_errors_total",
            "counter",
            "Errors of the provider, by their cause.",
        );
        for ProviderHealth { name, metrics, .. } in self.providers.iter().map(|p| &**p) {
            let causes = Cause::ALL.iter().zip(&metrics.upstream_errors);
            for (cause, count) in causes.filter(|(cause, _)| is_the_providers(**cause)) {
                out.sample(&[("provider", name), ("error_type", cause.as_str())], count.get());
            }
        }
        self.each(
            &mut out,
            (
                "ccproxy_fallbacks_total",
                "counter",
                "Messages that went on to another provider when this one failed.",
            ),
            |provider| Some(provider.metrics.fallbacks.get()),
        );
        self.each(
            &mut out,
            (
                "ccproxy_adjusted_requests_total",
                "counter",
                "Requests that were sent once more, since a refusal told how.",
            ),
            |provider| Some(provider.metrics.adjusted.get()),
        );
        self.each(
            &mut out,
            (
                "ccproxy_described_pictures_total",
                "counter",
                "Pictures that this provider described for models that read text only.",
            ),
            |provider| Some(provider.metrics.described.get()),
        );
        self.each(
            &mut out,
            (
                "ccproxy_provider_resting_keys",
                "gauge",
                "Keys of the provider that are passed over, limited or refused.",
            ),
            |provider| Some(provider.state.resting_keys() as u64),
        );
        let refused = |out: &mut Exposition, refusal: Refusal| {
            out.sample(&[("reason", refusal.as_str())], self.refusals.count(refusal));
        };
        out.family(
            "ccproxy_refused_total",
            "counter",
            "Requests turned away without asking a provider, by what was wrong with them or missing.",
        );
        Refusal::ALL.iter().for_each(|refusal| refused(&mut out, *refusal));
        out.family(
            "ccproxy_requests_shed_total",
            "counter",
            "Those of the refused requests that only came at the wrong time.",
        );
        let shed = Refusal::ALL.iter().filter(|refusal| refusal.is_shed());
        shed.for_each(|refusal| refused(&mut out, *refusal));
        out.family("ccproxy_health_requests_total", "counter", "Requests of health paths.");
        for (path, counts) in Probed::ALL.iter().zip(&metrics.health) {
            for (verdict, count) in Verdict::ALL.iter().zip(counts) {
                let code = verdict.status().to_string();
                let labels = [("path", path.as_str()), ("code", &*code)];
                out.sample(&labels, count.get());
            }
        }
        out.single(
            "ccproxy_self_probe_duration_seconds",
            "gauge",
            "How long the server's last question to itself took.",
            metrics.self_probe_duration.get() as f64 / 1e6,
        );
        out.single(
            "ccproxy_self_probe_failures_total",
            "counter",
            "Questions of the server to itself that had no answer.",
            metrics.self_probe_failures.get(),
        );
        out.single("ccproxy_connections", "gauge", "Open connections.", load.connections);
        let help = "Connections that may be open.";
        out.single("ccproxy_connections_limit", "gauge", help, load.max_connections);
        let help = "Messages that may be answered at once.";
        out.single("ccproxy_in_flight_limit", "gauge", help, load.max_in_flight);
        let help = "Memory that is counted for the bodies of messages and answers, in bytes.";
        out.single("ccproxy_body_memory_bytes", "gauge", help, load.body_bytes);
        let help = "Memory that bodies of messages and answers may take, in bytes.";
        out.single("ccproxy_body_memory_limit_bytes", "gauge", help, load.max_body_bytes);
        if let Some((queue, limit)) = load.listen_queue {
            let help = "Connections that wait to be accepted.";
            out.single("ccproxy_listen_queue", "gauge", help, queue);
            let help = "Connections that may wait to be accepted.";
            out.single("ccproxy_listen_queue_limit", "gauge", help, limit);
        }
        let help = "Requests that are being answered by the API.";
        out.single("http_server_active_requests", "gauge", help, load.in_flight);
        out.family(
            "http_server_request_duration_seconds",
            "histogram",
            "Requests to the API, from the end of the body to the end of the answer.",
        );
        metrics.expose_requests(&mut out);
        self.gen_ai(&mut out);
        process(&mut out);
        out.into_bytes()
    }

    /// What OpenTelemetry's conventions for models have: `docs/gen-ai/client-inference.md` of
    /// <https://github.com/open-telemetry/semantic-conventions-genai>, version 0.1.0.
    fn gen_ai(&self, out: &mut Exposition) {
        type Times = (&'static str, &'static str, fn(&ProviderMetrics) -> &Histogram);
        type Sums = (&'static str, &'static str, fn(&ProviderMetrics) -> u64);
        let histograms: [Times; 5] = [
            (
                "gen_ai_client_inference_duration_seconds",
                "Messages, from their coming to the end of the answer.",
                |metrics| &metrics.duration,
            ),
            (
                "gen_ai_client_inference_time_to_first_chunk_seconds",
                "Streams, from the request to the provider to the first byte of its answer.",
                |metrics| &metrics.first_chunk,
            ),
            (
                "gen_ai_client_inference_time_per_output_chunk_seconds",
                "Streams, from each piece of the provider's answer to the next.",
                |metrics| &metrics.next_chunk,
            ),
            (
                "gen_ai_client_inference_operation_input_tokens",
                "Input tokens of a message, cached ones too.",
                |metrics| &metrics.input_tokens,
            ),
            (
                "gen_ai_client_inference_operation_output_tokens",
                "Output tokens of a message.",
                |metrics| &metrics.output_tokens,
            ),
        ];
        for (name, help, histogram) in histograms {
            out.family(name, "histogram", help);
            for provider in &self.providers {
                out.histogram(&provider.gen_ai_labels(), histogram(&provider.metrics));
            }
        }
        let sums: [Sums; 4] = [
            (
                "gen_ai_client_inference_usage_input_tokens_total",
                "Input tokens, cached ones too.",
                |metrics| metrics.input_tokens.total(),
            ),
            ("gen_ai_client_inference_usage_output_tokens_total", "Output tokens.", |metrics| {
                metrics.output_tokens.total()
            }),
            (
                "gen_ai_client_inference_usage_cache_read_input_tokens_total",
                "Input tokens that were read from a cache.",
                |metrics| metrics.cache_read_tokens.get(),
            ),
            (
                "gen_ai_client_inference_usage_cache_write_input_tokens_total",
                "Input tokens that were written to a cache.",
                |metrics| metrics.cache_write_tokens.get(),
            ),
        ];
        for (name, help, sum) in sums {
            out.family(name, "counter", help);
            for provider in &self.providers {
                out.sample(&provider.gen_ai_labels(), sum(&provider.metrics));
            }
        }
        let help = "Of the input tokens so far, the part that was read from a cache.";
        out.family("ccproxy_cache_read_tokens_ratio", "gauge", help);
        for provider in &self.providers {
            let ProviderMetrics { input_tokens, cache_read_tokens, .. } = &provider.metrics;
            let (all, read) = (input_tokens.total(), cache_read_tokens.get());
            if all > 0 {
                out.sample(&provider.gen_ai_labels(), read as f64 / all as f64);
            }
        }
    }
}

impl ProviderHealth {
    /// The labels of OpenTelemetry's metrics for models.
    fn gen_ai_labels(&self) -> [(&str, &str); 3] {
        [
            ("gen_ai_operation_name", "chat"),
            ("gen_ai_provider_name", &self.name),
            ("gen_ai_request_model", &self.model),
        ]
    }
}
