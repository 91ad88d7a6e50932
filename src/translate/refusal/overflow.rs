//! Whether an upstream's words say that the prompt is too long for the model, and by how much.
//!
//! Services word it in every way, so this is a rule over kinds of words: what is too long (the
//! context, the prompt, its tokens), that it is, and nothing that tells of something else: a rate,
//! the output, a picture, the name of a tool. `tests/it/overflow/` has the texts that it was made
//! for.

/// What was said of the sizes, as far as it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Overflow {
    /// The tokens of the prompt.
    pub input: Option<u64>,
    /// The most tokens that the model takes.
    pub window: Option<u64>,
    /// The output that was asked for beside an input that fits.
    pub output: Option<u64>,
    /// `input` is the least that it can be.
    pub is_at_least: bool,
}

/// Forms whose numbers are not what the rule takes them for. `{N}` is what the request has, `{M}`
/// what the model takes, `{O}` the output asked for beside the input `{N}`, `{L}` what the input
/// has at least, which is no more than what is left beside the output, `{_}` any number.
const FORMS: &[&str] = &[
    "context length is {M} tokens. However, you requested {_} tokens ({N} in the messages, {O} in the completion)",
    "context length is {M} tokens. However, you requested about {_} tokens ({N} of text input, {O} in the output)",
    "context length is {M} tokens. However, you requested about {_} tokens ({N} of text input, {_} of tool input, {O} in the output)",
    "context length is {M} tokens. However, you requested about {_} tokens ({N} of text input, {_} of image input, {O} in the output)",
    "context length is {M} tokens. However, you requested {O} output tokens and your prompt contains at least {L} input tokens",
    "context length is {M} tokens, however you requested {_} tokens ({N} in your prompt; {O} for the completion)",
    "You passed {N} input tokens and requested {O} output tokens. However, the model's context length is only {M} tokens",
    "must be <= {M}. Given: {N} `inputs` tokens and {O} `max_new_tokens`",
    "is too large: {O}. This model's maximum context length is {M} tokens and your request has {N} input tokens",
    "exceed context limit: {N} + {O} > {M}",
    "Current length is {N} while limit is {M}",
    "Prompt contains {N} tokens and {_} draft tokens, too large for model with {M} maximum context length",
];

/// Of something that passes, or costs money: never a matter of length.
const RATES: &[&str] = &[
    "rate limit",
    "rate_limit",
    "ratelimit",
    "per minute",
    "per day",
    "per second",
    "per hour",
    "per-minute",
    "/min",
    "(tpm)",
    "(rpm)",
    "throttl",
    "too many requests",
    "quota",
    "please wait",
    "try again in ",
    "retry in ",
    "retry after",
    "concurren",
    "insufficient",
    "balance",
    "billing",
    "credit",
    "timed out",
    "timeout",
    "频率",
    "并发",
    "余额",
    "额度",
    "欠费",
    "每分钟",
    "限流",
    "次数",
    "速率",
];

/// What else can be too long or too many.
const OTHER_THINGS: &[&str] = &[
    "image",
    "images",
    "picture",
    "pictures",
    "file",
    "files",
    "document",
    "documents",
    "pdf",
    "audio",
    "video",
    "byte",
    "bytes",
    "kb",
    "mb",
    "mib",
    "gb",
    "pixel",
    "pixels",
    "dimension",
    "dimensions",
    "name",
    "names",
    "id",
    "ids",
    "identifier",
    "string",
    "strings",
    "character",
    "characters",
    "array",
    "tool",
    "tools",
    "function",
    "functions",
    "schema",
    "stop",
    "sequence",
    "sequences",
    "description",
    "title",
    "label",
    "labels",
    "metadata",
    "header",
    "headers",
    "cookie",
    "uri",
    "url",
    "field",
    "key",
    "keys",
    "second",
    "seconds",
    "minute",
    "minutes",
    "temperature",
    "top_p",
    "top_k",
    "enum",
    "property",
    "properties",
    "depth",
    "nesting",
    "level",
    "levels",
    "attachment",
    "attachments",
    "breakpoints",
    "blocks",
    "cache_control",
    "logprobs",
    "batch",
    "choices",
    "candidates",
    "password",
    "email",
    "username",
    "session",
    "auth",
    "access",
    "bearer",
    "jwt",
];
const OTHER_THINGS_IN_CHINESE: &[&str] =
    &["图片", "文件", "名称", "工具", "函数", "密钥", "令牌过期"];

const OUTPUT: &[&str] = &[
    "output",
    "outputs",
    "completion",
    "completions",
    "response",
    "generated",
    "generation",
    "generate",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "max_new_tokens",
    "maxoutputtokens",
    "budget",
    "budget_tokens",
    "thinking",
    "reasoning",
];

const CONTEXT: &[&str] = &[
    "context",
    "n_ctx",
    "num_ctx",
    "max_context",
    "context_length",
    "context_window",
    "max_model_len",
    "max_seq_len",
    "ctx",
    "contexto",
    "contexte",
    "kontext",
    "kontextfenster",
    "kontextlänge",
    "contesto",
    "контекст",
    "контекста",
    "контекстное",
];

/// Whose size a context has.
const SIZES: &[&str] = &[
    "length",
    "window",
    "size",
    "limit",
    "count",
    "length_exceeded",
    "capacity",
    "budget",
    "maximum",
    "longueur",
    "länge",
    "longitud",
    "fenêtre",
    "ventana",
    "janela",
    "окно",
    "окна",
    "длина",
    "n_ctx",
    "num_ctx",
];

const INPUT: &[&str] = &[
    "prompt",
    "prompts",
    "input",
    "inputs",
    "messages",
    "conversation",
    "history",
    "dialog",
    "max_prompt_tokens",
    "max_input_tokens",
    "input_tokens",
    "prompt_tokens",
    "n_keep",
    "entrada",
    "entrée",
    "eingabe",
    "запрос",
    "промпт",
];

/// They are also said of what is asked of the output.
const REQUEST: &[&str] = &["request", "requested", "requests", "query"];

const BOUNDS: &[&str] = &[
    "max",
    "maximum",
    "limit",
    "limits",
    "allowed",
    "only",
    "most",
    "window",
    "range",
    "between",
    "supports",
    "limited",
    "configured",
    "model_limit",
    "最大",
    "上限",
];

/// Every kind of word that a text has.
#[derive(Debug, Default)]
struct Kinds {
    context: bool,
    /// The context together with its size.
    context_size: bool,
    input: bool,
    request: bool,
    tokens: bool,
    length: bool,
    output: bool,
    bound: bool,
    exceeds: bool,
    too_long: bool,
    shorten: bool,
    other: bool,
}

/// A number, and whether it is told as a bound or as what is over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    number: u64,
    is_bound: bool,
    is_excess: bool,
}

/// What `said` and the `codes` beside it tell of an overflow; `None` if they tell of none.
pub(super) fn overflow<'a>(
    said: &str,
    codes: impl IntoIterator<Item = &'a str>,
) -> Option<Overflow> {
    if let Some(found) = FORMS.iter().find_map(|form| numbers(form, said)) {
        return Some(found);
    }
    let lower = said.to_lowercase();
    // `context_window` alone is the name of a field.
    let names = |name: &str| {
        let words = words_of_name(name).to_lowercase();
        let kinds = kinds(&words);
        (kinds.exceeds || kinds.too_long) && is_overflow(&words)
    };
    let tells = is_overflow(&lower)
        || (!is_about_rate(&lower)
            && said.split_whitespace().filter(|word| word.contains('_')).any(names))
        || (!is_about_rate(&lower) && codes.into_iter().any(names));
    tells.then(|| sizes(&lower))
}

fn is_about_rate(text: &str) -> bool {
    RATES.iter().any(|words| text.contains(words))
}

/// `ContextWindowExceededError` and `context_length_exceeded` as words.
fn words_of_name(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    let mut after_small = false;
    for c in name.chars() {
        if c.is_uppercase() && after_small {
            words.push(' ');
        }
        after_small = c.is_lowercase();
        words.push(if matches!(c, '_' | '-' | '.') { ' ' } else { c });
    }
    words
}

/// The rule. `text` is in lower case.
fn is_overflow(text: &str) -> bool {
    if is_about_rate(text) {
        return false;
    }
    let kinds = kinds(text);
    let exceeds = kinds.exceeds || kinds.too_long;
    // That the output is too much says nothing of the input, unless it is told of too.
    let is_input = kinds.input || (kinds.request && !kinds.output);
    let is_output_alone = kinds.output && !kinds.input;
    if kinds.context_size && !is_output_alone && (exceeds || kinds.bound || kinds.shorten) {
        return true;
    }
    if kinds.other || is_output_alone {
        return false;
    }
    (kinds.context && exceeds && (kinds.tokens || kinds.length || is_input))
        || (is_input && kinds.too_long)
        || (is_input && exceeds && (kinds.tokens || kinds.length))
        || (kinds.tokens && exceeds)
        || (is_input && kinds.bound && kinds.tokens && numbers_in(text).len() >= 2)
        || (kinds.input && kinds.length && kinds.bound)
        || kinds.shorten
}

fn kinds(text: &str) -> Kinds {
    let words = words(text);
    let mut kinds = Kinds::default();
    for (at, word) in words.iter().enumerate() {
        let before = |n: usize| at.checked_sub(n).map_or("", |at| words[at]);
        let after = |n: usize| words.get(at + n).copied().unwrap_or_default();
        let is_near = |list: &[&str]| {
            [before(1), before(2), before(3), after(1), after(2)].iter().any(|w| list.contains(w))
        };
        let word = word.strip_suffix("'s").unwrap_or(word);
        if CONTEXT.contains(&word) {
            kinds.context = true;
            kinds.context_size |= word != "context" && word.is_ascii() || is_near(SIZES);
        }
        kinds.input |= INPUT.contains(&word);
        kinds.request |= REQUEST.contains(&word);
        kinds.output |= OUTPUT.contains(&word);
        kinds.bound |= BOUNDS.contains(&word) || word == "<=";
        kinds.length |= matches!(word, "length" | "count" | "lengths" | "longueur" | "longitud");
        // `Request id: …` stands at the end of any message.
        let is_of_request = word == "id" && ["request", "trace", "log"].contains(&before(1));
        kinds.other |= (OTHER_THINGS.contains(&word) && !is_of_request)
            || word.ends_with("_id")
            || word.ends_with("_name")
            || word.ends_with("_url");
        // A token alone may be one that one logs in with.
        kinds.tokens |= word == "tokens"
            || (word == "token"
                && ["count", "limit", "length", "number", "window", "max"].contains(&after(1)));
        let took = ["took", "taking", "takes", "take", "waited", "waiting", "been"];
        match word {
            "too" | "trop" | "zu" | "demasiado" | "muito" | "слишком" => match after(1) {
                "long" | "lengthy" | "longs" | "longue" | "lang" | "largo" | "larga" | "longo"
                | "longa" | "длинный" | "длинное" | "длинная"
                    if !took.contains(&before(1)) =>
                {
                    kinds.too_long = true;
                }
                "large" | "big" | "many" | "much" | "high" | "groß" | "grande" | "viele" => {
                    kinds.exceeds = true;
                }
                _ => {}
            },
            "less" | "fewer" => kinds.bound |= after(1) == "than",
            "longer" | "larger" | "greater" | "bigger" | "more" | "higher" => {
                kinds.exceeds |= after(1) == "than";
            }
            "over" | "above" | "beyond" => {
                kinds.exceeds |= is_near(&["limit", "maximum", "max", "the", "window"]);
            }
            "fit" => kinds.exceeds |= before(1) == "not" || before(1).ends_with("n't"),
            "reached" | "hit" => kinds.exceeds |= is_near(&["limit", "maximum", "max"]),
            ">" | ">=" => kinds.exceeds = true,
            "reduce" | "shorten" | "truncate" | "trim" | "decrease" | "compact" | "shorter" => {
                let next = [after(1), after(2), after(3), after(4), after(5)];
                kinds.shorten |= next.iter().any(|w| INPUT.contains(w) || CONTEXT.contains(w));
            }
            _ => {
                let stems = [
                    "exceed",
                    "overflow",
                    "surpass",
                    "excede",
                    "supera",
                    "dépass",
                    "überschreit",
                    "превыша",
                ];
                kinds.exceeds |= stems.iter().any(|stem| word.starts_with(stem));
            }
        }
    }
    // Text without spaces between its words.
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let is_context = says(&["上下文", "コンテキスト", "컨텍스트"]);
    kinds.context |= is_context;
    kinds.context_size |=
        is_context && says(&["长度", "窗口", "限制", "上限", "長", "ウィンドウ", "길이", "창"]);
    kinds.input |= says(&["输入", "提示词", "对话", "入力", "プロンプト", "입력", "프롬프트"]);
    kinds.request |= says(&["请求"]);
    kinds.output |= says(&["输出", "出力"]);
    kinds.length |= says(&["长度", "字数", "長さ", "길이"]);
    kinds.tokens |= says(&["token", "トークン", "토큰"])
        && !text.is_ascii()
        && says(&["超", "过长", "초과", "最大", "上限"]);
    kinds.exceeds |= says(&["超过", "超出", "超限", "过大", "大于", "超え", "超過", "초과"]);
    kinds.too_long |= says(&["过长", "太长", "超长", "長すぎ", "너무 길"]);
    kinds.bound |= says(&["最大", "上限", "限制", "최대"]);
    kinds.other |= says(OTHER_THINGS_IN_CHINESE);
    kinds
}

/// The words of a text: letters, `_` and `'` in a row; and the comparisons among them.
fn words(text: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_alphabetic() || matches!(c, '_' | '\'');
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with(">=") || rest.starts_with("<=") {
            2
        } else {
            first.len_utf8()
        };
        let (word, after) = rest.split_at(length);
        let word = word.trim_matches('\'');
        // HTML and arrows are no comparisons.
        let is_comparison =
            word == ">" && after.trim_start().starts_with(|c: char| c.is_ascii_digit());
        if is_word(first) && !word.is_empty() || matches!(word, ">=" | "<=") || is_comparison {
            words.push(word);
        }
        rest = after;
    }
    words
}

/// The numbers that may count tokens: none that is part of a name, and no id.
fn numbers_in(text: &str) -> Vec<Told> {
    let mut found = Vec::new();
    let bytes = text.as_bytes();
    let text = text.trim_end();
    let has_tokens = text.contains("token");
    let mut at = 0;
    let mut last = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let is_digit_or_comma = |at: usize| {
            let next_is_digit = bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
            bytes[at].is_ascii_digit() || (bytes[at] == b',' && next_is_digit)
        };
        let start = at;
        while at < bytes.len() && is_digit_or_comma(at) {
            at += 1;
        }
        let is_in_name = |byte: Option<&u8>| {
            byte.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        };
        let before = start.checked_sub(1).map(|at| &bytes[at]);
        let is_decimal = before == Some(&b'.')
            || (bytes.get(at) == Some(&b'.') && bytes.get(at + 1).is_some_and(u8::is_ascii_digit));
        let digits: String = text[start..at].chars().filter(char::is_ascii_digit).collect();
        // `<400>` and `(2013)` are codes.
        let is_tagged = before == Some(&b'<') && bytes.get(at) == Some(&b'>');
        let is_last = before == Some(&b'(') && matches!(&text[at..], ")" | ").");
        let is_code = is_tagged || (is_last && found.is_empty() && !has_tokens);
        if !is_code
            && !is_in_name(before)
            && !is_in_name(bytes.get(at))
            && !is_decimal
            && digits.len() <= 8
        {
            let number = digits.parse().unwrap_or(0);
            let led = words(&text[last..start]);
            let near = &led[led.len().saturating_sub(5)..];
            let followed = words(text[at..].get(..24).unwrap_or(&text[at..]).trim_start());
            if number >= 100 {
                found.push(Told {
                    number,
                    is_bound: near.iter().any(|w| BOUNDS.contains(w) || *w == "<=" || *w == ">")
                        || followed.iter().take(2).any(|w| *w == "maximum"),
                    is_excess: near.last() == Some(&"by"),
                });
            }
        }
        last = at;
    }
    found
}

/// The sizes that a text tells without one of the known forms: the larger is what was sent.
fn sizes(text: &str) -> Overflow {
    let told = numbers_in(text);
    let excess = told.iter().find(|told| told.is_excess).map(|told| told.number);
    let plain: Vec<Told> = told.into_iter().filter(|told| !told.is_excess).collect();
    let largest = plain.iter().map(|told| told.number).max();
    let smaller = |told: &&Told| Some(told.number) < largest;
    let bound = plain.iter().filter(smaller).filter(|told| told.is_bound).map(|t| t.number).max();
    let second = plain.iter().filter(smaller).map(|told| told.number).max();
    match (bound.or(second), largest, excess) {
        (Some(window), input, _) => Overflow { input, window: Some(window), ..Overflow::default() },
        (None, Some(window), excess) => Overflow {
            input: excess.map(|excess| window + excess),
            window: Some(window),
            ..Overflow::default()
        },
        (None, None, _) => Overflow::default(),
    }
}

/// The numbers that stand in `said` where `form` has its marks, if the words between are the same.
fn numbers(form: &str, said: &str) -> Option<Overflow> {
    let first = form.split('{').next().expect("split gives one piece at least");
    said.match_indices(first).find_map(|(at, _)| {
        let mut rest = &said[at + first.len()..];
        let mut found = Overflow::default();
        for piece in form.split('{').skip(1) {
            let (mark, words) = piece.split_once('}')?;
            let length = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let number = rest[..length].parse().ok()?;
            rest = rest[length..].strip_prefix(words)?;
            match mark {
                "N" => found.input = Some(number),
                "M" => found.window = Some(number),
                "O" => found.output = Some(number),
                "L" => (found.input, found.is_at_least) = (Some(number), true),
                _ => {}
            }
        }
        Some(found)
    })
}
