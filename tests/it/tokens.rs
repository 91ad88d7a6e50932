//! The estimate of tokens against counts of real tokenizers; see `tests/fixtures/tokens`.

use std::fs;

use ccproxy::anthropic;
use ccproxy::tokens::{TextCount, estimate, rough_estimate};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tokens");
/// How far an estimate may be from the count, as part of it.
const TOLERANCE: f64 = 0.15;

/// Name and count by `o200k_base` of each line of a table.
fn counts(table: &str) -> Vec<(String, u64)> {
    let text = fs::read_to_string(format!("{FOLDER}/{table}")).expect("the table");
    let rows = text.lines().skip(1).map(|line| {
        let mut cells = line.split('\t');
        let mut cell = || cells.next().expect("a cell");
        (cell().to_owned(), cell().parse().expect("a count"))
    });
    rows.collect()
}

fn read(file: &str) -> String {
    fs::read_to_string(format!("{FOLDER}/{file}")).expect(file)
}

fn tokens(text: &str) -> u64 {
    let mut count = TextCount::default();
    count.add(text);
    count.tokens()
}

/// Fails with every line of `rows` that is too far off.
fn check(rows: impl IntoIterator<Item = (String, u64, u64)>) {
    let mut faults = String::new();
    for (name, estimated, counted) in rows {
        let error = estimated as f64 / counted as f64 - 1.0;
        println!("{name:24} {estimated:6} {counted:6} {:+6.1} %", error * 100.0);
        if error.abs() >= TOLERANCE {
            faults += &format!("{name}: {estimated}, not {counted} ({:+.1} %)\n", error * 100.0);
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

#[test]
fn every_sample() {
    let rows = counts("counts.tsv");
    assert!(rows.len() > 40);
    check(rows.into_iter().map(|(name, counted)| {
        let estimated = tokens(&read(&format!("{name}.txt")));
        (name, estimated, counted)
    }));
}

#[test]
fn whole_requests() {
    check(counts("requests.tsv").into_iter().map(|(name, counted)| {
        let body = read(&format!("{name}.json"));
        (name, estimate(&anthropic::parse(body.as_bytes()).expect("a request")), counted)
    }));
}

#[test]
fn whole_requests_from_samples() {
    check(counts("requests.tsv").into_iter().map(|(name, counted)| {
        let body = read(&format!("{name}.json"));
        (name, rough_estimate(&anthropic::parse(body.as_bytes()).expect("a request")), counted)
    }));
}

#[test]
fn a_sample_is_cut_between_characters() {
    for (text, times) in [("日本語のテキスト", 400), ("é", 4000), ("😀 ", 900), ("a", 5000)]
    {
        let body = serde_json::json!({ "model": "m", "messages": [
            { "role": "user", "content": text.repeat(times) }] });
        let body = body.to_string();
        let request = anthropic::parse(body.as_bytes()).expect("a request");
        let (rough, whole) = (rough_estimate(&request), estimate(&request));
        assert!(rough.abs_diff(whole) * 4 <= whole, "{text}: {rough}, not {whole}");
    }
}
