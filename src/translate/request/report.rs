//! What of a request did not reach the model as it was asked for.

use super::client_tools;
use super::wanted::Wanted;
use crate::anthropic::{Block, MessagesRequest, Tool, ToolChoiceKind};
use crate::openai::ToolChoice;

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
    pub(super) fn new(request: &MessagesRequest<'_>, sent: &Wanted<'_>, images: bool) -> Report {
        let mut report = Report::default();
        report.unknown(request, sent);
        report.tokens(request, sent);
        report.sampling(request, sent);
        report.tools(request, sent);
        report.thinking(request, sent);
        if request.format().is_some() && sent.format.is_none() {
            report.dropped.push("output_config.format");
        }
        if !images && crate::route::Asked::of(request, 0).images {
            report.dropped.push("images");
        }
        report
    }

    /// What chat completions have no word for.
    fn unknown(&mut self, request: &MessagesRequest<'_>, sent: &Wanted<'_>) {
        let contents = request.messages.iter().map(|message| &message.content);
        let mut blocks = contents.flat_map(|content| &content.0);
        let cites = |block: &Block| match block {
            Block::Document(document) => document.citations,
            Block::ToolResult(result) => result
                .content
                .0
                .iter()
                .any(|block| matches!(block, Block::Document(document) if document.citations)),
            _ => false,
        };
        for (name, is_asked) in [
            ("cache_control", request.cache_control && !sent.shows.marks),
            ("citations", blocks.any(cites)),
            // The session in it is what providers have a use for.
            ("metadata", request.metadata.is_some() && sent.session.is_none()),
            ("context_management", request.context_management.is_some()),
        ] {
            if is_asked {
                self.dropped.push(name);
            }
        }
    }

    fn tokens(&mut self, request: &MessagesRequest<'_>, sent: &Wanted<'_>) {
        if request.max_tokens.is_some_and(|asked| asked != sent.max_tokens) {
            self.adjusted.push(format!("max_tokens={}", sent.max_tokens));
        }
    }

    fn sampling(&mut self, request: &MessagesRequest<'_>, sent: &Wanted<'_>) {
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

    fn tools(&mut self, request: &MessagesRequest<'_>, sent: &Wanted<'_>) {
        let tools = request.tools.as_deref().unwrap_or_default();
        let is_offered = |tool: &Tool| tool.input_schema.is_some() || client_tools::is_one(tool);
        let is_done = |tool: &Tool| sent.search.is_some() && tool.is_web_search();
        if tools.iter().any(|tool| !is_offered(tool) && !is_done(tool)) {
            self.dropped.push("server_tools");
        }
        if sent.search.as_ref().is_some_and(|search| search.has_limits_in_words()) {
            self.adjusted.push("web_search=limits in words".to_owned());
        }
        // Deferred tools wait for the client to load them.
        let offered = tools
            .iter()
            .filter(|tool| is_offered(tool) && tool.defer_loading != Some(true))
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

    fn thinking(&mut self, request: &MessagesRequest<'_>, sent: &Wanted<'_>) {
        let effort = request.output_config.as_ref().and_then(|config| config.effort.as_deref());
        let Some(asked) = effort else { return };
        match sent.effort {
            None => self.dropped.push("effort"),
            Some(word) if word != asked => self.adjusted.push(format!("effort={word}")),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::anthropic;
    use crate::openai::Dialect;
    use crate::provider::Provider;
    use crate::translate::{Learned, Target, translate};

    fn dropped(fields: &str, content: &str) -> Vec<&'static str> {
        let body = format!(
            r#"{{"model":"m","max_tokens":9,{fields}"messages":[{{"role":"user","content":{content}}}]}}"#
        );
        let request = anthropic::parse(body.as_bytes()).expect(&body);
        let learned = Learned::default();
        let target = Target {
            provider: Provider::find("custom").expect("a row"),
            model: "m",
            max_tokens: 0,
            images: true,
            api: Dialect::ChatCompletions,
            session: None,
            learned: &learned,
        };
        translate(&request, &target).expect("a translation").report.dropped
    }

    #[test]
    fn what_chat_completions_have_no_word_for_is_told() {
        let text = r#""Hi""#;
        for (fields, content, wanted) in [
            ("", text, vec![]),
            (r#""metadata":{"user_id":"u"},"#, text, vec!["metadata"]),
            (r#""context_management":{"edits":[]},"#, text, vec!["context_management"]),
            (r#""cache_control" : {"type":"ephemeral"},"#, text, vec!["cache_control"]),
            (
                "",
                r#"[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]"#,
                vec!["cache_control"],
            ),
            ("", r#""a \"cache_control\": {}""#, vec![]),
            ("", r#""cache_control""#, vec![]),
            (
                "",
                r#"[{"type":"document","citations":{"enabled":true},"source":{"type":"text","data":"a"}}]"#,
                vec!["citations"],
            ),
            (
                "",
                r#"[{"type":"document","citations":{"enabled":false},"source":{"type":"text","data":"a"}}]"#,
                vec![],
            ),
            (
                r#""tools":[{"type":"web_search_20250305","name":"web_search"}],"#,
                text,
                vec!["server_tools"],
            ),
            (r#""tools":[{"type":"bash_20250124","name":"bash"}],"#, text, vec![]),
        ] {
            assert_eq!(dropped(fields, content), wanted, "{fields} {content}");
        }
    }
}
