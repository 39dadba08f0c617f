import Foundation
import Testing

@testable import Refrain

enum Plan: String, RefrainValue {
    case pro
}

struct Money: RefrainValue {
    let cents: Int

    var refrainValue: Refrain.Value { ["cents": cents, "currency": "EUR"] }
}

struct Written: Sendable, CustomTestStringConvertible {
    let value: Refrain.Value
    let text: String

    init(_ value: (any RefrainValue)?, _ text: String) {
        self.value = value?.refrainValue ?? .null
        self.text = text
    }

    var testDescription: String { text }
}

private let written = [
    Written(nil, "null"),
    Written(true, "true"),
    Written(false, "false"),
    Written(-7, "-7"),
    Written(Int64.min, "-9223372036854775808"),
    Written(UInt64.max, "18446744073709551615"),
    Written(UInt8(3), "3"),
    Written(0.1, "0.1"),
    Written(Float(0.1), "0.1"),
    Written(-0.0, "-0.0"),
    Written(1e300, "1e+300"),
    Written(Double.leastNonzeroMagnitude, "5e-324"),
    Written(Decimal(string: "12.50"), "12.5"),
    Written(CGFloat(2), "2.0"),
    Written("Zoë 🎈", #""Zoë 🎈""#),
    Written("a\"b\\c\n\u{1f}\u{0}/", #""a\"b\\c\u000a\u001f\u0000/""#),
    Written("abc".prefix(2), #""ab""#),
    Written(Character("é"), #""é""#),
    Written(Plan.pro, #""pro""#),
    Written(URL(string: "https://example.org/a"), #""https://example.org/a""#),
    Written(UUID(uuidString: "00000000-0000-0000-0000-00000000000A"), #""00000000-0000-0000-0000-00000000000A""#),
    Written(["a", "b"], #"["a","b"]"#),
    Written([Int](), "[]"),
    Written([String: Int](), "{}"),
    Written([1, nil], "[1,null]"),
    Written([[1], []], "[[1],[]]"),
    Written([1, "a", nil, [2.5]] as Refrain.Value, #"[1,"a",null,[2.5]]"#),
    Written(["k": [Plan.pro]], #"{"k":["pro"]}"#),
    Written(Optional("x"), #""x""#),
    Written(String?.none, "null"),
]

struct Refused: Sendable, CustomTestStringConvertible {
    let value: Refrain.Value
    let reason: String
    let place: String

    init(_ value: any RefrainValue, _ reason: String, _ place: String) {
        self.value = value.refrainValue
        self.reason = reason
        self.place = place
    }

    var testDescription: String { place }
}

private let refused = [
    Refused(Double.nan, "not_finite", "properties.v is nan"),
    Refused(Double.infinity, "not_finite", "properties.v is inf"),
    Refused(-Float.infinity, "not_finite", "properties.v is -inf"),
    Refused(Decimal.nan, "not_finite", "properties.v is NaN"),
    Refused(["cart": [["price": Double.nan]]], "not_finite", "properties.v.cart[0].price is nan"),
    Refused([1, Double.infinity], "not_finite", "properties.v[1] is inf"),
    Refused(Date.distantFuture.addingTimeInterval(1e12), "not_finite", "properties.v is a date"),
    Refused(Date(timeIntervalSince1970: .nan), "not_finite", "properties.v is a date"),
    Refused(Date(timeIntervalSince1970: 1e300), "not_finite", "properties.v is a date"),
    Refused(Refrain.Value(any: Data()), "unsupported_type", "properties.v is Data"),
    Refused(Refrain.Value(any: ["list": [1, Data()] as [Any]]), "unsupported_type", "properties.v.list[1] is Data"),
    Refused(Refrain.Value(any: ["at": [1: 2]]), "unsupported_type", "properties.v.at is Dictionary<Int, Int>"),
    Refused(Refrain.Value(any: Plan.self), "unsupported_type", "properties.v is Plan.Type"),
    Refused(deep(100), "nested_too_deep", "properties.v[0]"),
    Refused(Refrain.Value(any: deepAny(100)), "nested_too_deep", "properties.v[0]"),
]

/// What JSON cannot hold is refused with a reason and a place, and nothing else is.
@Suite struct ValueTests {
    private func text(_ properties: Refrain.Properties) throws -> String {
        var text = JSONText(after: "name")
        try text.append(properties)
        return text.string
    }

    @Test(arguments: written) func eachIsWritten(it: Written) throws {
        #expect(try text(["v": it.value]) == "name{\"v\":\(it.text)}")
    }

    @Test(arguments: [
        (0, "1970-01-01T00:00:00"), (-1, "1969-12-31T23:59:59"), (951_782_399.999, "2000-02-28T23:59:59"),
        (951_782_400, "2000-02-29T00:00:00"), (4_107_542_400, "2100-03-01T00:00:00"),
        (1_795_000_000, "2026-11-18T11:06:40"),
        (-62_135_596_800, "0001-01-01T00:00:00"), (253_402_300_799, "9999-12-31T23:59:59"),
    ])
    func dates(_ seconds: Double, _ expected: String) throws {
        #expect(try text(["at": Date(timeIntervalSince1970: seconds)]) == "name{\"at\":\"\(expected)\"}")
    }

    @Test func severalAreSeparated() throws {
        let written = try text(["a": 1, "b": "x", "c": Money(cents: 250)])
        let read = Refrain.Value(any: try JSONSerialization.jsonObject(with: Data(written.dropFirst(4).utf8)))
        #expect(read == ["a": 1, "b": "x", "c": ["cents": 250, "currency": "EUR"] as Refrain.Value])
        #expect(try text([:]) == "name{}")
    }

    @Test(arguments: refused) func eachIsRefused(it: Refused) throws {
        let client = try Refrain.start(token: "t")
        for outcome in [client.track("Event", ["v": it.value]), client.register(["v": it.value])] {
            guard case let .rejected(said, hint) = outcome else {
                Issue.record("\(outcome)")
                continue
            }
            #expect(said == it.reason)
            #expect(hint.hasPrefix(it.place), "\(hint)")
        }
        #expect(client.stats().rejected == 2)
    }

    @Test func profilesNameThePlaceToo() throws {
        let client = try Refrain.start(token: "t")
        let outcome = client.profile().set(["a": Double.nan])
        #expect(
            outcome
                == .rejected(
                    reason: "not_finite",
                    hint: "properties.$set.a is nan, which JSON cannot hold; leave it out or pass a text"))
    }

    @Test func aLongNameIsShownShort() throws {
        let client = try Refrain.start(token: "t")
        guard case let .rejected(_, hint) = client.track("Event", [String(repeating: "ä", count: 200): Double.nan])
        else {
            Issue.record("not rejected")
            return
        }
        #expect(hint.hasPrefix("properties." + String(repeating: "ä", count: 40) + "… is nan"))
    }

    @Test func whatTheCoreRefuses() async throws {
        let world = try World()
        let client = try world.client(granted: true)
        #expect(reason(client.track("")) == "empty_name")
        #expect(reason(client.track(String(repeating: "x", count: 256))) == "name_too_long")
        #expect(reason(client.identify("")) == "empty_user")
        #expect(reason(client.identify("$device:1")) == "reserved_user")
        #expect(reason(client.alias("")) == "empty_user")
        #expect(reason(client.track("Event", ["text": String(repeating: "x", count: 2_000_000)])) == "too_large")
        #expect(reason(client.track("Event", ["a": deep(5)])) == nil)
        let nested: Refrain.Value = ["b": ["c": ["d": ["e": ["f": 1]]]]]
        #expect(reason(client.track("Event", ["a": nested])) == "nested_too_deep")
        #expect(client.stats().rejected == 7)
    }

    @Test func fewValuesThatAreManyAsText() throws {
        let client = try Refrain.start(token: "t")
        let many = (0..<40).reduce(Refrain.Value.array([])) { value, _ in .array([value, value]) }
        #expect(reason(client.track("Event", ["many": many])) == "too_large")
        #expect(reason(client.profile().set(["many": Array(repeating: 1, count: 600_000)])) == "too_large")
        let long = String(repeating: "x", count: 1_000_001)
        #expect(reason(client.track(long)) == "too_large")
        #expect(reason(client.identify(long)) == "too_large")
        #expect(reason(client.addGroup("a", long)) == "too_large")
        #expect(client.stats().rejected == 5)
    }

    @Test func dictionariesAreTakenAsTheyAre() throws {
        let texts: [String: String] = ["a": "x"]
        let numbers: [String: Int?] = ["b": nil]
        #expect(try text(texts) == #"name{"a":"x"}"#)
        #expect(try text(numbers) == #"name{"b":null}"#)
        let anything: [String: Any] = ["c": [1, "x", true, 0.5, Plan.pro] as [Any]]
        #expect(try text(anything.mapValues(Refrain.Value.init(any:))) == #"name{"c":[1,"x",true,0.5,"pro"]}"#)
    }

    @Test func whatFoundationHasIsTaken() throws {
        let numbers: [NSNumber] = [true, false, 7, -7, 1.25, NSNumber(value: UInt64.max), NSNumber(value: Int8(1))]
        #expect(Refrain.Value(any: numbers) == [true, false, 7, -7, 1.25, UInt64.max, 1])
        #expect(Refrain.Value(any: [NSNull(), String?.none as Any, Data?.none as Any]) == [nil, nil, nil])
        let digits = try #require(Decimal(string: "12345678901234567890.5"))
        #expect(Refrain.Value(any: NSDecimalNumber(decimal: digits)) == .decimal(digits))
        #expect(Refrain.Value(any: NSNumber(value: Float(0.1))) == 0.1)
        #expect(Refrain.Value(any: NSString(string: "é")) == "é")
        #expect(Refrain.Value(any: NSDate(timeIntervalSince1970: 7)) == .date(Date(timeIntervalSince1970: 7)))
        #expect(Refrain.Value(any: Optional.some(7 as Any) as Any) == 7)
    }

    @Test func whatJSONSerializationHasReadIsTaken() throws {
        let given = #"{"a":[true,1,1.5,null,"x",{"k":0}],"big":18446744073709551615}"#
        let value = Refrain.Value(any: try JSONSerialization.jsonObject(with: Data(given.utf8)))
        #expect(value == ["a": [true, 1, 1.5, nil, "x", ["k": 0]] as Refrain.Value, "big": UInt64.max])
    }
}

private func deep(_ levels: Int) -> Refrain.Value {
    (0..<levels).reduce(.int(1)) { value, _ in .array([value]) }
}

private func deepAny(_ levels: Int) -> Any {
    (0..<levels).reduce(1 as Any) { value, _ in [value] }
}
