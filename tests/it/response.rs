//! Whole completions → messages: the golden responses.

use ccproxy::anthropic::Message;
use ccproxy::error::Error;
use ccproxy::translate::Fold;

use crate::golden::Kind;
use crate::stream::translator;

pub const RESPONSES: Kind =
    Kind { dir: "response", input: ".openai.json", output: ".anthropic.json" };

fn translate(body: &[u8]) -> Result<Message, Error> {
    let (mut translator, mut fold) = (translator(), Fold::default());
    translator.chunk(body, &mut fold)?;
    translator.finish(&mut fold)?;
    fold.into_message()
}

#[test]
fn whole_completions_are_translated() {
    RESPONSES.check(|case| {
        let text = match translate(&case.input) {
            Ok(message) => serde_json::to_string_pretty(&message).expect("a message"),
            Err(error) => String::from_utf8(error.body("req_test")).expect("UTF-8"),
        };
        vec![(case.name.clone(), text + "\n")]
    });
}
