//! The list of models, `GET /models`, in the forms in which services give it.
//!
//! <https://platform.openai.com/docs/api-reference/models/list>; Together has no object around it,
//! llama.cpp and Gemini's own API call it `models`, and how much a model takes is called in many
//! ways.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// A model that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Served {
    pub id: String,
    /// The most tokens of a prompt, where it is told.
    pub window: Option<u64>,
    /// The most tokens of an answer, where it is told.
    pub output: Option<u64>,
}

/// Names of the window, the surest first: what is loaded now says more than what could be.
const WINDOWS: &[&[&str]] = &[
    &["loaded_context_length"],
    &["meta", "n_ctx"],
    &["max_model_len"],
    &["max_input_tokens"],
    &["inputTokenLimit"],
    &["context_length"],
    &["context_window"],
    &["max_context_length"],
    &["limits", "max_input_tokens"],
    &["limits", "max_context_window_tokens"],
    &["limit", "context"],
    &["context_size"],
    &["meta", "n_ctx_train"],
];

/// Names of the most tokens of an answer.
const OUTPUTS: &[&[&str]] = &[
    &["top_provider", "max_completion_tokens"],
    &["max_output_tokens"],
    &["max_completion_tokens"],
    &["outputTokenLimit"],
    &["limits", "max_output_tokens"],
    &["limit", "output"],
    &["max_output_length"],
    &["max_tokens"],
];

/// The models of a list; `None` if it is none.
pub fn served(body: &[u8]) -> Option<Vec<Served>> {
    #[derive(Deserialize)]
    struct Listed<'a> {
        #[serde(borrow)]
        data: Option<Vec<&'a RawValue>>,
        #[serde(borrow)]
        models: Option<Vec<&'a RawValue>>,
    }
    let listed = match serde_json::from_slice::<Vec<&RawValue>>(body) {
        Ok(listed) => listed,
        Err(_) => {
            let listed = serde_json::from_slice::<Listed>(body).ok()?;
            listed.data.or(listed.models)?
        }
    };
    // One at a time, since a list of hundreds is a megabyte.
    Some(listed.into_iter().filter_map(model).collect())
}

fn model(raw: &RawValue) -> Option<Served> {
    let value: Value = serde_json::from_str(raw.get()).ok()?;
    let id = ["id", "name", "model"].iter().find_map(|name| value[name].as_str())?;
    let number = |paths: &[&[&str]]| {
        paths.iter().find_map(|path| {
            let value = path.iter().try_fold(&value, |value, name| value.get(name))?;
            let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
            number.filter(|number| *number > 0)
        })
    };
    let id = id.strip_prefix("models/").unwrap_or(id).to_owned();
    Some(Served { id, window: number(WINDOWS), output: number(OUTPUTS) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, wanted: &[(&str, Option<u64>, Option<u64>)]) {
        let found = served(body.as_bytes()).expect("a list");
        let found: Vec<_> = found.iter().map(|m| (&*m.id, m.window, m.output)).collect();
        assert_eq!(found, wanted, "{body}");
    }

    #[test]
    fn lists_are_read_in_the_forms_of_the_services() {
        // OpenAI
        check(r#"{"object":"list","data":[{"id":"gpt-6"}]}"#, &[("gpt-6", None, None)]);
        // Groq
        check(
            r#"{"data":[{"id":"a","context_window":131072,"max_completion_tokens":65536}]}"#,
            &[("a", Some(131_072), Some(65_536))],
        );
        // OpenRouter
        check(
            r#"{"data":[{"id":"z-ai/glm-5.3","context_length":1048576,"top_provider":{"context_length":9,"max_completion_tokens":131072}}]}"#,
            &[("z-ai/glm-5.3", Some(1_048_576), Some(131_072))],
        );
        // vLLM, LM Studio, llama.cpp
        check(r#"{"data":[{"id":"q","max_model_len":32768}]}"#, &[("q", Some(32_768), None)]);
        check(
            r#"{"data":[{"id":"q","max_context_length":262144,"loaded_context_length":8192}]}"#,
            &[("q", Some(8_192), None)],
        );
        check(
            r#"{"models":[{"name":"q"}],"data":[{"id":"q","meta":{"n_ctx_train":40960}}]}"#,
            &[("q", Some(40_960), None)],
        );
        // Together, and Gemini's own
        check(r#"[{"id":"t","context_length":1}]"#, &[("t", Some(1), None)]);
        check(
            r#"{"models":[{"name":"models/gemini-4","inputTokenLimit":7,"outputTokenLimit":"8"}]}"#,
            &[("gemini-4", Some(7), Some(8))],
        );
        // Anthropic
        check(
            r#"{"data":[{"type":"model","id":"c","max_input_tokens":1000000,"max_tokens":128000}]}"#,
            &[("c", Some(1_000_000), Some(128_000))],
        );
    }

    #[test]
    fn what_is_odd_is_left_out_and_what_is_no_list_is_none() {
        check(
            r#"{"data":[1,null,{"id":5},{"id":"a","context_length":-1,"max_tokens":0}]}"#,
            &[("a", None, None)],
        );
        for body in ["", "{}", "null", "[[", r#"{"data":{}}"#, r#"{"error":"no"}"#] {
            assert_eq!(served(body.as_bytes()), None, "{body}");
        }
    }
}
