import Foundation

/// What a property may hold: strings, numbers, Booleans, dates, URLs and UUIDs; optionals of these, with `nil` recorded
/// as null; arrays and dictionaries of these.
///
/// A type of your own conforms by returning what is recorded for it. Enums with raw values get this for free:
///
/// ```swift
/// enum Plan: String, RefrainValue { case free, pro }
/// refrain.track("Signed up", ["plan": Plan.pro])
/// ```
public protocol RefrainValue: Sendable {
    /// The value that is recorded.
    var refrainValue: Refrain.Value { get }
}

extension RefrainValue where Self: RawRepresentable, RawValue: RefrainValue {
    public var refrainValue: Refrain.Value { rawValue.refrainValue }
}

extension Refrain.Value: RefrainValue {
    public var refrainValue: Refrain.Value { self }
}

extension Bool: RefrainValue {
    public var refrainValue: Refrain.Value { .bool(self) }
}

extension RefrainValue where Self: FixedWidthInteger {
    public var refrainValue: Refrain.Value {
        Int64(exactly: self).map(Refrain.Value.int) ?? UInt64(exactly: self).map(Refrain.Value.uint)
            ?? .unsupported(kind: "\(Self.self)")
    }
}

extension Int: RefrainValue {
    public var refrainValue: Refrain.Value { .int(Int64(self)) }
}

extension Int8: RefrainValue {}
extension Int16: RefrainValue {}
extension Int32: RefrainValue {}
extension Int64: RefrainValue {}
extension UInt: RefrainValue {}
extension UInt8: RefrainValue {}
extension UInt16: RefrainValue {}
extension UInt32: RefrainValue {}
extension UInt64: RefrainValue {}

extension Double: RefrainValue {
    public var refrainValue: Refrain.Value { .double(self) }
}

extension Float: RefrainValue {
    /// The shortest number that prints as this one: `0.1`, not `0.10000000149011612`.
    public var refrainValue: Refrain.Value { .double(Double("\(self)") ?? Double(self)) }
}

extension CGFloat: RefrainValue {
    public var refrainValue: Refrain.Value { .double(Double(self)) }
}

extension Decimal: RefrainValue {
    public var refrainValue: Refrain.Value { .decimal(self) }
}

extension String: RefrainValue {
    public var refrainValue: Refrain.Value { .string(self) }
}

extension Substring: RefrainValue {
    public var refrainValue: Refrain.Value { .string(String(self)) }
}

extension Character: RefrainValue {
    public var refrainValue: Refrain.Value { .string(String(self)) }
}

extension Date: RefrainValue {
    public var refrainValue: Refrain.Value { .date(self) }
}

extension URL: RefrainValue {
    public var refrainValue: Refrain.Value { .string(absoluteString) }
}

extension UUID: RefrainValue {
    public var refrainValue: Refrain.Value { .string(uuidString) }
}

extension Optional: RefrainValue where Wrapped: RefrainValue {
    public var refrainValue: Refrain.Value { self?.refrainValue ?? .null }
}

extension Array: RefrainValue where Element: RefrainValue {
    public var refrainValue: Refrain.Value { .array(map(\.refrainValue)) }
}

extension Dictionary: RefrainValue where Key == String, Value: RefrainValue {
    public var refrainValue: Refrain.Value { .object(mapValues(\.refrainValue)) }
}
