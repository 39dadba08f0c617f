// What `track()` costs a Swift program, in microseconds, in a burst and paced; beside a call that does nothing.

import Foundation
import Refrain

let count = Int(CommandLine.arguments[1])!
let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
defer { try? FileManager.default.removeItem(at: folder) }

// Nobody listens there: what is measured is the call.
let refrain = try Refrain.start(token: "bench") {
    $0.endpoint = "http://127.0.0.1:9"
    $0.dataDir = folder
    $0.defaultConsent = .granted
}
await refrain.flush(timeout: 5)

/// Passed through, so that no call is known to do nothing.
@inline(never) func measured(_ value: Int) -> Int { value }

func show(_ name: String, _ call: (Int) -> Void) {
    let figures = took(count, 0, call) + took(count / 10, 200, call)
    let columns = figures.map { String(format: "%9.2f", $0) }
    print(name.padding(toLength: 28, withPad: " ", startingAt: 0), columns.joined(separator: " "))
}

/// The median and the 99th percentile of so many calls.
func took(_ count: Int, _ pause: UInt32, _ call: (Int) -> Void) -> [Double] {
    let times = (0..<count).map { number in
        if pause > 0 { usleep(pause) }
        let start = DispatchTime.now().uptimeNanoseconds
        call(number)
        return Double(DispatchTime.now().uptimeNanoseconds - start) / 1_000
    }.sorted()
    return [times[count / 2], times[count * 99 / 100]]
}

print("\na call from Swift, microseconds")
print(String(repeating: " ", count: 28), "burst p50       p99 paced p50       p99")
show("refrain") { number in
    refrain.track(
        "Viewed",
        [
            "bench_number": number, "run": "r", "page": "/pricing", "plan": "pro", "price": 19.99, "currency": "EUR",
            "items": 3, "first": true,
        ])
}
show("a call that does nothing") { number in _ = measured(number) }
await refrain.close(timeout: 1)
