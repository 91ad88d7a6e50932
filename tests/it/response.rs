//! Whole completions, and whole responses of the Responses API, → messages: the golden answers.

use ccproxy::anthropic::Message;
use ccproxy::error::Error;
use ccproxy::openai::Dialect;
use ccproxy::translate::Fold;

use crate::golden::{Case, Kind};
use crate::stream::translator;

/// The golden answers of each API.
const ANSWERS: [(Dialect, Kind); 2] = [
    (
        Dialect::ChatCompletions,
        Kind { dir: "response", input: ".openai.json", output: ".anthropic.json" },
    ),
    (
        Dialect::Responses,
        Kind { dir: "responses/whole", input: ".responses.json", output: ".anthropic.json" },
    ),
];

/// All of them.
pub(crate) fn answers() -> impl Iterator<Item = (Dialect, Case)> {
    ANSWERS
        .into_iter()
        .flat_map(|(dialect, kind)| kind.cases().into_iter().map(move |case| (dialect, case)))
}

fn translate(dialect: Dialect, body: &[u8]) -> Result<Message, Error> {
    let (mut translator, mut fold) = (translator(dialect), Fold::default());
    translator.chunk(body, &mut fold)?;
    translator.finish(&mut fold)?;
    fold.into_message()
}

#[test]
fn whole_answers_are_translated() {
    for (dialect, kind) in ANSWERS {
        kind.check(|case| {
            let text = match translate(dialect, &case.input) {
                Ok(message) => serde_json::to_string_pretty(&message).expect("a message"),
                Err(error) => String::from_utf8(error.body("req_test")).expect("UTF-8"),
            };
            vec![(case.name.clone(), text + "\n")]
        });
    }
}
