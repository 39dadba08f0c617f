import Foundation
import Testing

@testable import Refrain

struct Case: Sendable, CustomTestStringConvertible {
    let word: String
    var token = "t"
    var set: @Sendable (inout Refrain.Configuration) -> Void = { _ in }

    var testDescription: String { word }
}

private let unusable = [
    Case(word: "token", token: ""),
    Case(word: "batchSize must be") { $0.batchSize = -1 },
    Case(word: "batchSize") { $0.batchSize = 0 },
    Case(word: "batchSize must be") { $0.batchSize = 1 << 40 },
    Case(word: "queueLimitBytes must be") { $0.queueLimitBytes = -1 },
    Case(word: "queueLimitAge") { $0.queueLimitAge = -.infinity },
    Case(word: "flushInterval") { $0.flushInterval = -1 },
    Case(word: "flushInterval") { $0.flushInterval = .nan },
    Case(word: "endpoint") { $0.endpoint = "ftp://example.org" },
    Case(word: "endpoint") { $0.endpoint = "no address" },
    Case(word: "automaticProperties.a[0] is nan") { $0.automaticProperties = ["a": [Double.nan]] },
    Case(word: "automaticProperties.a.b is Float80") {
        $0.automaticProperties = ["a": ["b": Refrain.Value.unsupported(kind: "Float80")]]
    },
    Case(word: "automaticProperties.a is a date outside") { $0.automaticProperties = ["a": Date.distantPast - 1e12] },
    Case(word: "automaticProperties.a goes beyond 1 MB") {
        $0.automaticProperties = ["a": String(repeating: "x", count: 1_000_001)]
    },
    Case(word: "automaticProperties must be an object of 200 members") {
        $0.automaticProperties = ["a": String(repeating: "x", count: 400_000)]
    },
    Case(word: "automaticProperties must be an object of 200 members") {
        $0.automaticProperties = Dictionary(uniqueKeysWithValues: (0...200).map { ("p\($0)", $0) })
    },
    Case(word: "in automaticProperties looks like personal data") {
        $0.automaticProperties = ["a": "a@b.example"]
        $0.personalData = .reject
    },
    Case(word: "dataDir must be") { $0.dataDir = URL(string: "https://example.org/folder") },
]

/// A setting that cannot work is named at the start.
@Suite struct ConfigurationTests {
    @Test(arguments: unusable) func aSettingThatCannotWork(it: Case) {
        #expect {
            try Refrain.start(token: it.token, it.set)
        } throws: { error in
            error is Refrain.ConfigError && "\(error)".contains(it.word)
                && (error as? any LocalizedError)?.errorDescription == "\(error)" && !"\(error)".contains("_")
        }
    }

    @Test func theWordsAreSwifts() {
        #expect(inSwiftsWords("personal_data_allow and personal_data") == "personalDataAllow and personalData")
    }

    #if !canImport(Darwin)
        @Test func withoutAFolderNothingIsCollected() throws {
            let client = try Refrain.start(token: "t") { $0.defaultConsent = .granted }
            #expect(client.consent().reason == "store_unavailable")
        }
    #endif
}
