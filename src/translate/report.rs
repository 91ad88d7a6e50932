//! What of a request did not reach the model as it was asked for.

use crate::anthropic::{MessagesRequest, ToolChoiceKind};
use crate::openai::{ChatRequest, ToolChoice};

/// The request's fields by their names in the Messages API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What was left out.
    pub dropped: Vec<&'static str>,
    /// What was made to fit, as `name=value`.
    pub adjusted: Vec<String>,
}

impl Report {
    /// Compares what was asked for with what is sent.
    pub(super) fn new(
        request: &MessagesRequest<'_>,
        sent: &ChatRequest<'_>,
        images: bool,
    ) -> Report {
        let mut report = Report::default();
        report.tokens(request, sent);
        report.sampling(request, sent);
        report.tools(request, sent);
        report.thinking(request, sent);
        if request.format().is_some() && sent.response_format.is_none() {
            report.dropped.push("output_config.format");
        }
        if !images && crate::route::Asked::of(request, 0).images {
            report.dropped.push("images");
        }
        report
    }

    fn tokens(&mut self, request: &MessagesRequest<'_>, sent: &ChatRequest<'_>) {
        let tokens = sent.max_tokens.or(sent.max_completion_tokens);
        if let (Some(asked), Some(tokens)) = (request.max_tokens, tokens)
            && asked != tokens
        {
            self.adjusted.push(format!("max_tokens={tokens}"));
        }
    }

    fn sampling(&mut self, request: &MessagesRequest<'_>, sent: &ChatRequest<'_>) {
        for (name, asked, sent) in [
            ("temperature", request.temperature.is_some(), sent.temperature.is_some()),
            ("top_p", request.top_p.is_some(), sent.top_p.is_some()),
            ("top_k", request.top_k.is_some(), sent.top_k.is_some()),
        ] {
            if asked && !sent {
                self.dropped.push(name);
            }
        }
    }

    fn tools(&mut self, request: &MessagesRequest<'_>, sent: &ChatRequest<'_>) {
        let tools = request.tools.as_deref().unwrap_or_default();
        if tools.iter().any(|tool| tool.input_schema.is_none()) {
            self.dropped.push("server_tools");
        }
        // Deferred tools wait for the client to load them.
        let offered = tools
            .iter()
            .filter(|tool| tool.input_schema.is_some() && tool.defer_loading != Some(true))
            .count();
        if sent.tools.len() < offered {
            self.adjusted.push(format!("tools={}", sent.tools.len()));
        }
        let Some(choice) = request.tool_choice.as_ref().filter(|_| offered > 0) else { return };
        match (&sent.tool_choice, choice.kind) {
            (None, ToolChoiceKind::Auto) => {}
            (None, _) => self.dropped.push("tool_choice"),
            (Some(ToolChoice::Mode("auto")), ToolChoiceKind::Any | ToolChoiceKind::Tool) => {
                self.adjusted.push("tool_choice=auto".to_owned());
            }
            _ => {}
        }
        if choice.disable_parallel_tool_use == Some(true) && sent.parallel_tool_calls.is_none() {
            self.dropped.push("disable_parallel_tool_use");
        }
    }

    fn thinking(&mut self, request: &MessagesRequest<'_>, sent: &ChatRequest<'_>) {
        let effort = request.output_config.as_ref().and_then(|config| config.effort.as_deref());
        let Some(asked) = effort else { return };
        match sent
            .reasoning_effort
            .or(sent.reasoning.as_ref().and_then(|reasoning| reasoning.effort))
        {
            None => self.dropped.push("effort"),
            Some(word) if word != asked => self.adjusted.push(format!("effort={word}")),
            Some(_) => {}
        }
    }
}
