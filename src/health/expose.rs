//! `/metrics`, and the few metrics that `/health` gives a scraper.

use super::{Health, Load, VERSION};
use crate::metrics::{Exposition, HEALTH_PATHS, SHED, UPSTREAM_ERRORS, process};

impl Health {
    /// The few metrics of `/health`.
    pub(super) fn expose_health(&self, out: &mut Exposition, reason: Option<&'static str>) {
        let provider = [("provider", self.config.provider)];
        out.family("ccproxy_build_info", "gauge", "The version that runs; always 1.")
            .sample(&[("version", VERSION)], 1);
        out.single("ccproxy_up", "gauge", "That the server answers; always 1.", 1);
        let ready = u8::from(reason.is_none());
        out.single("ccproxy_ready", "gauge", "Whether new messages are welcome.", ready);
        let draining = u8::from(self.is_draining());
        out.single("ccproxy_draining", "gauge", "Whether the server is on its way out.", draining);
        if let Some(up) = self.provider.is_up() {
            out.family(
                "ccproxy_provider_up",
                "gauge",
                "Whether the provider's last calls went well.",
            )
            .sample(&provider, u8::from(up));
        }
        out.family(
            "ccproxy_provider_circuit_open",
            "gauge",
            "Whether the provider is left alone for a while.",
        )
        .sample(&provider, u8::from(self.provider.is_circuit_open()));
        out.family(
            "ccproxy_provider_consecutive_failures",
            "gauge",
            "Failures of the provider since it last answered.",
        )
        .sample(&provider, self.provider.consecutive_failures());
        if let Some(seconds) = self.provider.last_success() {
            out.family(
                "ccproxy_provider_last_success_timestamp_seconds",
                "gauge",
                "When the provider last answered, in seconds since 1970.",
            )
            .sample(&provider, seconds);
        }
    }

    /// Every metric.
    pub(super) fn exposition(&self, load: Load) -> Vec<u8> {
        let mut out = Exposition::new();
        self.expose_health(&mut out, self.reason());
        let metrics = &self.metrics;
        let provider = ("provider", self.config.provider);
        out.family("ccproxy_requests_total", "counter", "Messages answered.")
            .sample(&[provider, ("status", "success")], metrics.succeeded.get())
            .sample(&[provider, ("status", "error")], metrics.failed.get());
        out.family(
            "ccproxy_request_duration_seconds",
            "histogram",
            "From the end of a request to the end of its answer.",
        );
        out.histogram(&[provider], &metrics.duration);
        out.family("ccproxy_tokens_processed_total", "counter", "Tokens of the answered messages.")
            .sample(&[provider, ("type", "input")], metrics.input_tokens.total())
            .sample(&[provider, ("type", "output")], metrics.output_tokens.total());
        out.family(
            "ccproxy_upstream_errors_total",
            "counter",
            "Errors of the provider, by Anthropic's error type.",
        );
        for (kind, count) in UPSTREAM_ERRORS.iter().zip(&metrics.upstream_errors) {
            out.sample(&[provider, ("error_type", kind)], count.get());
        }
        out.family(
            "ccproxy_requests_shed_total",
            "counter",
            "Requests turned away without asking the provider.",
        );
        for (reason, count) in SHED.iter().zip(&metrics.shed) {
            out.sample(&[("reason", reason)], count.get());
        }
        out.family("ccproxy_health_requests_total", "counter", "Requests of health paths.");
        for (path, counts) in HEALTH_PATHS.iter().zip(&metrics.health) {
            for (code, count) in ["200", "503"].iter().zip(counts) {
                out.sample(&[("path", path), ("code", code)], count.get());
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
        if let Some((queue, limit)) = load.listen_queue {
            let help = "Connections that wait to be accepted.";
            out.single("ccproxy_listen_queue", "gauge", help, queue);
            let help = "Connections that may wait to be accepted.";
            out.single("ccproxy_listen_queue_limit", "gauge", help, limit);
        }
        let help = "Requests that are being answered by the API.";
        out.single("http_server_active_requests", "gauge", help, load.in_flight);
        let model = [
            ("gen_ai_operation_name", "chat"),
            ("gen_ai_provider_name", self.config.provider),
            ("gen_ai_request_model", &*self.config.model),
        ];
        out.family(
            "http_server_request_duration_seconds",
            "histogram",
            "Requests to the API, from the end of the body to the end of the answer.",
        );
        metrics.expose_requests(&mut out);
        out.family(
            "gen_ai_client_operation_duration_seconds",
            "histogram",
            "Messages, from their coming to the end of the answer.",
        );
        out.histogram(&model, &metrics.duration);
        out.family("gen_ai_client_token_usage", "histogram", "Tokens of a message.");
        for (kind, tokens) in [("input", &metrics.input_tokens), ("output", &metrics.output_tokens)]
        {
            let labels: Vec<_> =
                model.iter().copied().chain([("gen_ai_token_type", kind)]).collect();
            out.histogram(&labels, tokens);
        }
        out.family(
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "histogram",
            "From the request to the provider to the first byte of its answer.",
        );
        out.histogram(&model, &metrics.first_chunk);
        process(&mut out);
        out.into_bytes()
    }
}
