import Foundation

private let secondsADay = 86_400
/// From 0000-03-01, where the years of this count begin, to 1970-01-01.
private let daysBefore1970 = 719_468

extension Date {
    /// `YYYY-MM-DDTHH:MM:SS` in UTC, whatever the device's calendar and language; `nil` outside of the years 1 to
    /// 9999.
    package var wireText: String? {
        guard let seconds = Int(exactly: timeIntervalSince1970.rounded(.down)) else { return nil }
        let (days, time) = seconds.quotientAndRemainder(flooredBy: secondsADay)
        // Howard Hinnant's `civil_from_days`: a year that begins in March has its odd day at the end.
        let (era, day) = (days + daysBefore1970).quotientAndRemainder(flooredBy: 146_097)
        let yearOfEra = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365
        let dayOfYear = day - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = 400 * era + yearOfEra + (month <= 2 ? 1 : 0)
        guard 1...9999 ~= year else { return nil }
        let dayOfMonth = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        return digits(year, 4) + "-" + digits(month, 2) + "-" + digits(dayOfMonth, 2)
            + "T" + digits(time / 3_600, 2) + ":" + digits(time / 60 % 60, 2) + ":" + digits(time % 60, 2)
    }
}

private func digits(_ number: Int, _ width: Int) -> String {
    let text = String(number)
    return String(repeating: "0", count: width - text.count) + text
}

extension Int {
    fileprivate func quotientAndRemainder(flooredBy divisor: Int) -> (Int, Int) {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}
