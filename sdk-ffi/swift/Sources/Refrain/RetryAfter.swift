import Foundation

/// `Retry-After` as the core understands it: a date becomes seconds from the answer's own `Date`, so that a clock
/// that is wrong here does not matter, or from this clock where there is none.
func inSeconds(retryAfter: String?, date: String?) -> String? {
    guard let until = parse(retryAfter) else { return retryAfter }
    let seconds = Int(until.timeIntervalSince(parse(date) ?? Date()))
    return seconds > 0 ? String(seconds) : nil
}

private func parse(_ date: String?) -> Date? {
    let format = DateFormatter()
    format.locale = Locale(identifier: "en_US_POSIX")
    format.timeZone = TimeZone(identifier: "UTC")
    format.dateFormat = "EEE, dd MMM yyyy HH:mm:ss zzz"
    format.isLenient = false
    return date.flatMap(format.date(from:))
}
