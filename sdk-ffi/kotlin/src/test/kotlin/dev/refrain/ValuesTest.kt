package dev.refrain

import java.io.File
import java.nio.file.Path
import java.time.Instant
import java.time.LocalDate
import java.util.Date
import java.util.UUID
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** What JSON cannot hold is refused with a reason and a place, and never throws into the app. */
class ValuesTest : FolderTest() {
    private val recorder by lazy { granted() }

    private fun refused(properties: Map<String, Any?>, reason: String, vararg places: String) {
        val calls =
            listOf(
                recorder.track("Event", properties) to "properties",
                recorder.register(properties) to "properties",
                recorder.profile().set(properties) to "properties.\$set",
            )
        for ((outcome, root) in calls) {
            outcome as Outcome.Rejected
            assertEquals(reason, outcome.reason, outcome.hint)
            for (place in places) {
                val there = place.replaceFirst("properties", root)
                assertTrue(there in outcome.hint, "${outcome.hint} names $there")
            }
        }
    }

    private fun reason(outcome: Outcome) = (outcome as Outcome.Rejected).reason

    @Test
    fun `circular references`() {
        val inner = mutableMapOf<String, Any?>()
        val circle = mapOf("list" to listOf(1, inner))
        inner["back"] = circle
        refused(circle, "circular_reference", "properties.list[1].back contains itself")
        val ring = mutableListOf<Any?>()
        ring.add(ring)
        refused(mapOf("ring" to ring), "circular_reference", "properties.ring[0]")
        val array = arrayOfNulls<Any?>(1)
        array[0] = array
        refused(mapOf("array" to array), "circular_reference", "properties.array[0]")
    }

    @Test
    fun `numbers that are none`() {
        for (number in listOf(Double.NaN, Double.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY)) {
            val cart = mapOf("cart" to listOf(mapOf("price" to number)))
            refused(cart, "not_finite", "properties.cart[0].price is $number")
        }
        refused(mapOf("all" to doubleArrayOf(1.0, Double.NaN)), "not_finite", "properties.all[1]")
    }

    @Test
    fun `types that JSON does not have`() {
        val path: Path = File("folder").toPath() // contains itself, as an Iterable
        for (value in listOf(byteArrayOf(1), Any(), 1 to 2, UUID(1, 2), path, 1.seconds, charArrayOf('a'))) {
            refused(mapOf("value" to value), "unsupported_type", "properties.value is ", value.javaClass.simpleName)
        }
        refused(mapOf("value" to mapOf(1 to 3)), "unsupported_key", "properties.value", "Integer")
        refused(mapOf("value" to listOf(mapOf(null to 3))), "unsupported_key", "properties.value[0]", "null")
    }

    @Test
    fun `halves of surrogate pairs`() {
        for (half in listOf("a\ud800", "\udc00", "\ud83c\ud83c\udf88", "\ud800a")) {
            refused(mapOf("name" to half), "lone_surrogate", "properties.name")
            refused(mapOf(half to 1), "lone_surrogate", "a key of properties")
            refused(mapOf("a" to mapOf("b" to listOf(half))), "lone_surrogate", "properties.a.b[0]")
            val calls =
                listOf(
                    recorder.track(half),
                    recorder.identify(half),
                    recorder.alias(half),
                    recorder.switchUser(half),
                    recorder.timeEvent(half),
                    recorder.unregister(half),
                    recorder.addGroup(half, "a"),
                    recorder.addGroup("a", half),
                    recorder.group("a", half).set(emptyMap()),
                    recorder.profile().unset("a", half),
                )
            assertEquals(List(calls.size) { "lone_surrogate" }, calls.map { reason(it) })
        }
        assertEquals(0L to 4L * (3 * 3 + 10), recorder.stats().let { it.tracked to it.rejected })
        assertTrue(recorder.flushBlocking(30.0))
        assertEquals(0, collector.requests.size)
    }

    @Test
    fun `too much`() {
        var deep: List<Any?> = emptyList()
        repeat(100_000) { deep = listOf(deep) }
        refused(mapOf("deep" to deep), "nested_too_deep")
        assertEquals("too_large", reason(recorder.track("Event", mapOf("text" to "x".repeat(2_000_000)))))
        assertEquals("too_many", reason(recorder.track("Event", (0..300).associate { "key $it" to it })))
    }

    @Test
    fun `few values that are many as text`() {
        refused(mapOf("many" to manyInFew()), "too_large")
        refused(mapOf("many" to List(1_000_001) { 1 }), "too_large")
        val endless =
            object : CharSequence {
                override val length = Int.MAX_VALUE

                override fun get(index: Int) = error("never looked at")

                override fun subSequence(startIndex: Int, endIndex: Int) = error("never looked at")

                override fun toString() = error("never copied")
            }
        refused(mapOf("text" to endless), "too_large")
        val long = "x".repeat(1_000_001)
        for (outcome in listOf(recorder.track(long), recorder.identify(long), recorder.addGroup("a", long))) {
            assertEquals("too_large", reason(outcome))
        }
        assertEquals(3L * 3 + 3, recorder.stats().rejected)
    }

    @Test
    fun `a map that throws what is no exception`() {
        val hostile =
            object : AbstractMap<String, Any?>() {
                override val entries: Set<Map.Entry<String, Any?>>
                    get() = throw InternalError("as if")
            }
        refused(mapOf("inner" to hostile), "internal", "InternalError")
        assertEquals(3L, recorder.stats().rejected)
    }

    @Test
    fun `dates that the wire has no form for`() {
        val years = "is a date outside of the years 1 to 9999"
        for (date in
            listOf(Instant.MAX, Instant.MIN, LocalDate.MAX, LocalDate.of(0, 12, 31), Date(Long.MAX_VALUE), Date(Long.MIN_VALUE))) {
            refused(mapOf("at" to date), "not_finite", "properties.at $years")
        }
        for (date in listOf(LocalDate.of(1, 1, 1), LocalDate.of(9999, 12, 31), Instant.parse("9999-12-31T23:59:59Z"))) {
            assertEquals(Outcome.Accepted, recorder.track("Event", mapOf("at" to date)))
        }
    }

    @Test
    fun `a map that throws`() {
        val hostile =
            object : AbstractMap<String, Any?>() {
                override val entries: Set<Map.Entry<String, Any?>>
                    get() = error("not today")
            }
        refused(mapOf("inner" to hostile), "unreadable_value", "IllegalStateException")
        val endless =
            object : AbstractMap<String, Any?>() {
                override val entries: Set<Map.Entry<String, Any?>>
                    get() = entries
            }
        refused(mapOf("inner" to endless), "unreadable_value", "StackOverflowError")
    }

    @Test
    fun names() {
        assertEquals("empty_name", reason(recorder.track("")))
        assertEquals("name_too_long", reason(recorder.track("x".repeat(256))))
        assertEquals("name_too_long", reason(recorder.track("é".repeat(256))))
        assertEquals("empty_user", reason(recorder.identify("")))
        assertEquals("reserved_user", reason(recorder.identify("\$device:1")))
    }

    @Test
    fun `nulls from Java`() {
        assertEquals("invalid_name", reason(JavaCaller.trackNull(recorder)))
        assertEquals("invalid_user", reason(JavaCaller.identifyNull(recorder)))
        assertEquals("invalid_group", reason(JavaCaller.setGroupNull(recorder)))
        assertEquals("not_an_object", reason(JavaCaller.registerNull(recorder)))
        assertEquals("not_an_object", reason(JavaCaller.registerOnceNull(recorder)))
        assertEquals("not_an_object", reason(JavaCaller.registerForSessionNull(recorder)))
        assertEquals(Outcome.Accepted, JavaCaller.trackWithNullProperties(recorder))
        assertEquals(1L to 6L, recorder.stats().let { it.tracked to it.rejected })
        assertThrows(ConfigException::class.java) { JavaCaller.startWithNullToken() }
        val settings =
            mapOf<String, (Settings) -> Unit>(
                "signals" to JavaCaller::nullSignals,
                "defaultConsent" to JavaCaller::nullDefaultConsent,
                "idMerge" to JavaCaller::nullIdMerge,
                "personalData" to JavaCaller::nullPersonalData,
                "automaticProperties" to JavaCaller::nullAutomaticProperties,
                "denyList" to JavaCaller::nullDenyList,
                "personalDataAllow" to JavaCaller::nullPersonalDataAllow,
            )
        for ((name, change) in settings) {
            val error = assertThrows(ConfigException::class.java) { Refrain.start("t", Settings().apply(change)) }
            assertEquals("$name must not be null", error.message)
        }
        val error = assertThrows(ConfigException::class.java) { JavaCaller.startWithNullSettings() }
        assertEquals("settings must not be null", error.message)
    }

    @Test
    fun settings() {
        val unusable =
            listOf<Pair<String, Settings.() -> Unit>>(
                "batchSize" to { batchSize = 0 },
                "batchSize" to { batchSize = -1 },
                "queueLimitBytes" to { queueLimitBytes = -1 },
                "queueLimitAge" to { queueLimitAge = (-1).seconds },
                "flushInterval" to { flushInterval = Duration.INFINITE },
                "dataDir is empty" to { dataDir = File("") },
                "dataDir holds a zero byte" to { dataDir = File("a\u0000b") },
                "denyList holds half of a surrogate pair" to { denyList = listOf("\ud800") },
                "personalDataAllow holds half of a surrogate pair" to { personalDataAllow = listOf("\ud800") },
                "endpoint" to { endpoint = "ftp://example.org" },
                "endpoint" to { endpoint = "no address" },
                "endpoint holds half of a surrogate pair" to { endpoint = "http://\ud800" },
            )
        for ((word, setting) in unusable) {
            val error = assertThrows(ConfigException::class.java, { Refrain.start("t", setting) }, word)
            assertTrue(word in error.message!!, "${error.message} names $word")
        }
        for (token in listOf("", "\ud800")) {
            val error = assertThrows(ConfigException::class.java) { Refrain.start(token) }
            assertTrue("token" in error.message!!, error.message)
        }
    }

    @Test
    fun `automatic properties`() {
        val unusable =
            listOf<Pair<String, Map<*, *>>>(
                "automaticProperties.a[0] is NaN" to mapOf("a" to listOf(Double.NaN)),
                "automaticProperties.a is Object" to mapOf("a" to Any()),
                "automaticProperties.a is a date outside" to mapOf("a" to Date(Long.MAX_VALUE)),
                "automaticProperties has a key that is Integer" to mapOf(1 to 1),
                "a key of automaticProperties holds half" to mapOf("\ud800" to 1),
                "automaticProperties.a holds half of a surrogate pair" to mapOf("a" to "\ud800"),
                "automaticProperties: a record may be" to mapOf("a" to "x".repeat(1_000_001)),
                "automaticProperties must be an object of 200 members" to mapOf("a" to "x".repeat(400_000)),
                "automaticProperties must be an object of 200 members" to List(201) { "p$it" }.associateWith { it },
                "automaticProperties must be" to mapOf("a" to mapOf("b" to mapOf("c" to mapOf("d" to DEEPEST)))),
                "in automaticProperties looks like personal data" to mapOf("a" to "a@b.example"),
            )
        for ((words, properties) in unusable) {
            val start = {
                @Suppress("UNCHECKED_CAST")
                Refrain.start("t") {
                    automaticProperties = properties as Map<String, Any?>
                    personalData = PersonalDataMode.REJECT
                }
            }
            val error = assertThrows(ConfigException::class.java, { start() }, words)
            assertTrue(words in error.message!!, "${error.message} says $words")
        }
    }

    @Test
    fun `lengths in UTF-8`() {
        for (text in listOf("", "a", "é", "購", "🎈", "aé購🎈\u0000\u007f\u0080\u07ff\u0800\uffff")) {
            assertEquals(text.toByteArray().size, utf8Length(text), text)
        }
        assertEquals(-1, utf8Length("\ud800"))
    }

    @Test
    fun `what is no text has no kind of its own`() {
        assertEquals("null", kind(null))
        assertTrue(kind(object {}).isNotEmpty())
        assertNull(inSeconds(null, null))
    }
}

private val DEEPEST = emptyMap<String, Any?>()

/** Lists, each with the one before twice: a few objects, and more text than any memory holds. */
fun manyInFew(): List<Any?> = generateSequence(listOf<Any?>()) { listOf(it, it) }.elementAt(40)
