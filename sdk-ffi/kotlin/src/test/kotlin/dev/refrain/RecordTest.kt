package dev.refrain

import java.math.BigDecimal
import java.time.Instant
import java.time.LocalDate
import java.time.LocalDateTime
import java.time.OffsetDateTime
import java.util.Date
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.runBlocking
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.jsonObject
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** Records arrive, with what was said about them. */
class RecordTest : FolderTest() {
    @Test
    fun `an event arrives as the wire wants it`() {
        val client = granted()
        val said = mapOf("plan" to "pro", "seats" to 3, "ratio" to 0.5, "who" to "Zoë 🎈", "none" to null)
        assertEquals(Outcome.Accepted, client.track("Signed up", said))
        assertTrue(client.flushBlocking(30.0))

        val event = collector.events.single()
        assertEquals("Signed up", event.text("event"))
        val properties = event.properties
        val wanted = """{"plan":"pro","seats":3,"ratio":0.5,"who":"Zoë 🎈","none":null}"""
        assertEquals(Json.parseToJsonElement(wanted).jsonObject.toMap(), properties.only(*said.keys.toTypedArray()))
        assertEquals("project-token", properties.text("token"))
        assertEquals("refrain-kotlin", properties.text("mp_lib"))
        assertEquals("\$device:${client.deviceId}", properties.text("distinct_id"))
        assertEquals(client.distinctId, properties.text("distinct_id"))
        assertEquals(32, properties.text("\$insert_id").length)
        val request = collector.requests.single()
        assertEquals("/track/?verbose=1&ip=0", request.path)
        assertEquals("application/json", request.headers["Content-type"])
        val stats = client.stats()
        assertEquals(listOf(1L, 1L, 0L, 0L), listOf(stats.tracked, stats.delivered, stats.queued, stats.rejected))
    }

    @Test
    fun `automatic properties are the weakest`() {
        val client =
            granted {
                val since = LocalDate.of(2026, 1, 2)
                automaticProperties =
                    mapOf("app" to "1.0", "since" to since, "plan" to "-", "step" to "-", "by" to "-")
                denyList = listOf("by")
            }
        client.track("before")
        client.register(mapOf("plan" to "free", "source" to "ad"))
        client.registerForSession(mapOf("step" to 1))
        client.track("after", mapOf("source" to "mail", "step" to 2))
        client.profile().set(mapOf("name" to "Zoë"))
        assertEquals(listOf("plan", "source", "step"), client.audit().superProperties)
        client.reset()
        client.track("another person", mapOf("plan" to null))
        assertTrue(client.flushBlocking(30.0))

        val names = setOf("app", "since", "plan", "step", "source", "by")
        val always = """"app":"1.0","since":"2026-01-02""""
        val wanted =
            listOf(
                """{$always,"plan":"-","step":"-"}""",
                """{$always,"plan":"free","step":2,"source":"mail"}""",
                """{$always,"plan":null,"step":"-"}""",
            )
        assertEquals(
            wanted.map { Json.parseToJsonElement(it).jsonObject.toMap() },
            collector.events.map { event -> event.properties.filterKeys { it in names } },
        )
        assertEquals(setOf("name"), (collector.updates.single()["\$set"] as JsonObject).keys)
    }

    @Test
    fun `clients on a folder have the same automatic properties`() {
        client { automaticProperties = mapOf("app" to "1.0", "os" to mapOf("a" to 1, "b" to 2)) }
        client { automaticProperties = mapOf("os" to mapOf("b" to 2, "a" to 1), "app" to "1.0") }
        val error = assertThrows(ConfigException::class.java) { client { automaticProperties = mapOf("app" to "1.1") } }
        assertTrue("another automaticProperties" in error.message!!, error.message)
    }

    @Test
    fun `names that are not ASCII arrive whole`() {
        val client = granted()
        val names = listOf("Gekauft: Hütte", "購入", "🎈", "a\u0000b", "\"quoted\\\"")
        for (name in names) assertEquals(Outcome.Accepted, client.track(name, mapOf(name to name)))
        assertEquals(Outcome.Accepted, client.track("é".repeat(255)))
        assertEquals(Outcome.Accepted, client.addGroup("Köln", "Dom 🎈"))
        assertTrue(client.flushBlocking(30.0))
        assertEquals(names + "é".repeat(255), collector.names)
        for (event in collector.events.take(names.size)) {
            assertEquals(event.text("event"), event.properties.text(event.text("event")))
        }
        assertEquals(listOf("Köln"), client.audit().superProperties)
    }

    @Test
    fun `a flush speaks of what is queued`() {
        val client = client()
        client.track("held")
        assertTrue(runBlocking { client.flush(30.seconds) })
        assertEquals(1, client.stats().held)
        assertEquals(0, collector.requests.size)
        client.optInBlocking()
        collector.statuses.add(503)
        assertFalse(runBlocking { client.flush(30.seconds) })
        assertEquals(0, client.stats().delivered)
    }

    @Test
    fun `identity and super properties`() {
        val client = granted()
        client.track("before")
        client.register(mapOf("plan" to "free", "theme" to "dark"))
        client.registerOnce(mapOf("plan" to "pro", "source" to "ad"))
        client.unregister("theme")
        client.identify("user-1")
        client.track("after", mapOf("source" to "mail"))
        val device = client.deviceId
        client.reset()
        client.track("another person")
        assertTrue(client.flushBlocking(30.0))

        val events = collector.events.associate { it.text("event") to it.properties }
        val after = events.getValue("after")
        assertEquals(
            listOf("user-1", "user-1", device, "free", "mail"),
            listOf("distinct_id", "\$user_id", "\$device_id", "plan", "source").map { after.text(it) },
        )
        assertFalse("theme" in after)
        assertFalse("plan" in events.getValue("before"))
        assertFalse("plan" in events.getValue("another person"))
        assertNotEquals(device, events.getValue("another person").text("\$device_id"))
        assertTrue("\$identify" in events)
    }

    @Test
    fun `profiles, groups and timers`() {
        val client = granted()
        val company = client.group("company", "acme")
        val accepted =
            listOf(
                client.identify("ada"),
                client.profile().set(mapOf("plan" to "pro")),
                client.profile().setOnce(mapOf("first" to true)),
                client.profile().add(mapOf("logins" to 1)),
                client.profile().append(mapOf("seen" to "a")),
                client.profile().remove(mapOf("seen" to "a")),
                client.profile().unset("street", "city"),
                client.profile().delete(),
                company.union(mapOf("products" to listOf("umbrella"))),
                client.addGroup("company", "acme"),
                client.registerForSession(mapOf("tab" to 1)),
                client.timeEvent("Read"),
            )
        assertEquals(List(accepted.size) { Outcome.Accepted }, accepted)
        val audit = client.audit()
        assertEquals(1L to listOf("company", "tab"), audit.timers to audit.superProperties)
        assertEquals(Outcome.Accepted, client.track("Read"))
        assertEquals("empty_group", (client.group("", "acme").set(mapOf("a" to 1)) as Outcome.Rejected).reason)
        assertEquals(Outcome.Accepted, client.switchUser("bob"))
        assertEquals(Outcome.Accepted, client.track("second"))
        assertEquals(Outcome.Accepted, client.setGroup("company", "other"))
        assertEquals(Outcome.Accepted, client.removeGroup("company", "other"))
        assertTrue(client.flushBlocking(30.0))

        val events = collector.events.associate { it.text("event") to it.properties }
        val (read, second) = listOf("Read", "second").map { events.getValue(it) }
        assertEquals(JsonArray(listOf(JsonPrimitive("acme"))), read["company"])
        assertEquals("ada", read.text("\$user_id"))
        assertEquals("1", read.text("tab"))
        assertTrue(read.text("\$duration").toDouble() >= 0)
        assertNotEquals(read["\$device_id"], second["\$device_id"])
        assertFalse("company" in second)
        val operators = collector.updates.map { JsonObject(it.filterKeys { key -> key in OPERATORS }).toString() }
        val wanted =
            listOf(
                """{"${'$'}set":{"plan":"pro"}}""",
                """{"${'$'}set_once":{"first":true}}""",
                """{"${'$'}add":{"logins":1}}""",
                """{"${'$'}append":{"seen":"a"}}""",
                """{"${'$'}remove":{"seen":"a"}}""",
                """{"${'$'}unset":["street","city"]}""",
                """{"${'$'}delete":""}""",
                """{"${'$'}union":{"products":["umbrella"]}}""",
                """{"${'$'}union":{"company":["acme"]}}""",
            )
        assertEquals(emptyList<String>(), wanted - operators)
        val groups = collector.updates.filter { "\$group_key" in it }
        assertEquals(listOf("company" to "acme"), groups.map { it.text("\$group_key") to it.text("\$group_id") })
    }

    @Test
    fun `many records travel in compressed batches`() {
        val client = granted { batchSize = 40 }
        repeat(100) { client.track("Viewed", mapOf("page" to it, "title" to "The same words again and again")) }
        assertTrue(client.flushBlocking(30.0))
        assertEquals((0 until 100).map { "$it" }, collector.events.map { it.properties.text("page") })
        assertTrue(collector.requests.size <= 4)
        assertEquals("gzip", collector.requests.first().headers["Content-encoding"])
    }

    @Test
    fun `values that JSON has no word for`() {
        val client = granted()
        val values =
            mapOf(
                "instant" to Instant.parse("2026-11-24T02:30:00.9Z"),
                "offset" to OffsetDateTime.parse("2026-11-24T04:30:00+02:00"),
                "zoned" to OffsetDateTime.parse("2026-11-24T04:30:00+02:00").toZonedDateTime(),
                "date" to Date(1_795_487_400_999),
                "long ago" to Date(-1),
                "new year" to Instant.parse("2026-01-01T00:00:00Z"),
                "leap" to Instant.parse("2000-02-29T23:59:59Z"),
                "local" to LocalDateTime.parse("2026-11-24T04:30:00"),
                "day" to LocalDate.parse("1900-03-01"),
                "enum" to Decision.GRANTED,
                "inner" to mapOf(Decision.DENIED to setOf(1L, 2.toByte())),
                "array" to arrayOf<Any>("a", 'b', StringBuilder("c")),
                "ints" to intArrayOf(1, 2),
                "big" to BigDecimal("12345678901234567890.5"),
                "unsigned" to ULong.MAX_VALUE,
                "float" to 0.1f,
                "text" to "\u0001\t\"\\/\u2028",
            )
        assertEquals(Outcome.Accepted, client.track("Booked", values))
        assertTrue(client.flushBlocking(30.0))
        val wanted =
            """{"instant":"2026-11-24T02:30:00","offset":"2026-11-24T02:30:00","zoned":"2026-11-24T02:30:00",
            "date":"2026-11-24T02:30:00","long ago":"1969-12-31T23:59:59","new year":"2026-01-01T00:00:00",
            "leap":"2000-02-29T23:59:59",
            "local":"2026-11-24T04:30:00","day":"1900-03-01","enum":"GRANTED","inner":{"DENIED":[1,2]},
            "array":["a","b","c"],"ints":[1,2],"big":12345678901234567890.5,"unsigned":18446744073709551615,"float":0.1,
            "text":"\u0001\t\"\\/\u2028"}"""
        val arrived = collector.events.single().properties.filterKeys { it in values }
        assertEquals(Json.parseToJsonElement(wanted).jsonObject.toMap(), arrived)
    }

    @Test
    fun `what a closed client could not send the next one sends`() {
        collector.statuses.addAll(List(100) { 503 })
        granted().use {
            it.track("kept")
            assertFalse(it.flushBlocking(30.0))
        }
        collector.statuses.clear()
        val later = granted()
        later.track("new")
        assertTrue(later.flushBlocking(30.0))
        assertEquals(listOf("kept", "new"), collector.names.sorted())
        assertEquals(1, later.stats().recovered + later.stats().adopted)
    }

    @Test
    fun `a closed client refuses quietly`() {
        val client = granted()
        client.close()
        assertTrue(client.track("late").isRejected)
        client.close()
        assertEquals(emptyList<String>(), collector.names)
    }
}

private val OPERATORS = setOf("\$set", "\$set_once", "\$add", "\$append", "\$remove", "\$unset", "\$delete", "\$union")
