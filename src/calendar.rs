//! Dates from seconds: the packages at hand have no calendar.

#![forbid(unsafe_code)]

use std::fmt;

/// A second, in UTC.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Date {
    year: u64,
    /// From 1 on.
    month: u64,
    day: u64,
    /// From Thursday on, which 1 January 1970 was.
    weekday: u64,
    /// Of the day.
    second: u64,
}

impl Date {
    /// The second so long after 1 January 1970.
    pub(crate) fn of(seconds: u64) -> Date {
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        // Civil date from days, counted in years that begin in March (Howard Hinnant's algorithm).
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        Date { year, month, day, weekday: days % 7, second }
    }
}

/// As the header `Date` has it: RFC 9110, section 5.6.7.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HttpDate(pub Date);

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl fmt::Display for HttpDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Date { year, month, day, weekday, second } = self.0;
        let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
        text[..3].copy_from_slice(DAYS[weekday as usize].as_bytes());
        put(&mut text[5..7], day);
        text[8..11].copy_from_slice(MONTHS[month as usize - 1].as_bytes());
        put(&mut text[12..16], year);
        put_time(&mut text[17..25], second);
        f.write_str(ascii(&text))
    }
}

/// As the `date` of Unix has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnixDate(pub Date);

impl fmt::Display for UnixDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Date { year, month, day, weekday, second } = self.0;
        let (weekday, month) = (DAYS[weekday as usize], MONTHS[month as usize - 1]);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{weekday} {month} {day:>2} {hour:02}:{minute:02}:{second:02} UTC {year}")
    }
}

/// As RFC 3339 has it, without the zone.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Date { year, month, day, second, .. } = *self;
        let mut text = *b"1970-01-01T00:00:00";
        put(&mut text[..4], year);
        put(&mut text[5..7], month);
        put(&mut text[8..10], day);
        put_time(&mut text[11..], second);
        f.write_str(ascii(&text))
    }
}

/// Writes a time of the day as `00:00:00`.
fn put_time(text: &mut [u8], second: u64) {
    put(&mut text[..2], second / 3600);
    put(&mut text[3..5], second / 60 % 60);
    put(&mut text[6..8], second % 60);
}

/// Writes as many digits of a number as there is room for: every answer and every line of the log
/// has a date, and formatting each part of it would take as long as all the rest of a head.
fn put(text: &mut [u8], mut number: u64) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

fn ascii(text: &[u8]) -> &str {
    std::str::from_utf8(text).expect("it is ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, text, http) in [
            (0, "1970-01-01T00:00:00", "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "1994-11-06T08:49:37", "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "2000-02-29T00:00:00", "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_795_612_859, "2026-11-25T13:20:59", "Wed, 25 Nov 2026 13:20:59 GMT"),
        ] {
            assert_eq!(Date::of(seconds).to_string(), text);
            assert_eq!(HttpDate(Date::of(seconds)).to_string(), http);
        }
        assert_eq!(UnixDate(Date::of(784_111_777)).to_string(), "Sun Nov  6 08:49:37 UTC 1994");
    }
}
