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
