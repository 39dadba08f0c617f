import Foundation

extension Refrain {
    /// Properties by name: `["plan": "pro", "seats": 3, "trial": nil]`. A value is anything that conforms to
    /// ``RefrainValue``.
    public typealias Properties = [String: (any RefrainValue)?]

    /// A property's value as it is recorded. You rarely need to name this type: only for values of mixed types, as in
    /// `["cart": [["sku": "u-1", "price": 12.5]] as Refrain.Value]`, and for values known only at run time, see
    /// ``init(any:)``.
    public enum Value: Sendable, Hashable {
        case null
        case bool(Bool)
        case int(Int64)
        case uint(UInt64)
        case double(Double)
        /// A number with all of its decimal digits.
        case decimal(Decimal)
        case string(String)
        /// The wire's text form in UTC, `YYYY-MM-DDTHH:MM:SS`.
        case date(Date)
        case array([Refrain.Value])
        case object([String: Refrain.Value])
        /// A value of a kind that JSON cannot represent: the call is rejected, and the hint says where the value is.
        case unsupported(kind: String)
    }
}

extension Refrain.Value: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByStringInterpolation, ExpressibleByArrayLiteral,
    ExpressibleByDictionaryLiteral
{
    public init(nilLiteral: ()) {
        self = .null
    }

    public init(booleanLiteral value: Bool) {
        self = .bool(value)
    }

    public init(integerLiteral value: Int64) {
        self = .int(value)
    }

    public init(floatLiteral value: Double) {
        self = .double(value)
    }

    public init(stringLiteral value: String) {
        self = .string(value)
    }

    public init(arrayLiteral elements: (any RefrainValue)?...) {
        self = .array(elements.map { $0?.refrainValue ?? .null })
    }

    public init(dictionaryLiteral elements: (String, (any RefrainValue)?)...) {
        let members = elements.map { ($0, $1?.refrainValue ?? .null) }
        self = .object(Dictionary(members, uniquingKeysWith: { _, last in last }))
    }
}
