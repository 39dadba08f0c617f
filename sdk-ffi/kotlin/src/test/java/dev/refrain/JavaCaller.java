package dev.refrain;

import java.io.File;
import java.util.Map;

/** Calls from Java, which knows neither nullability nor suspending functions. */
final class JavaCaller {
    private JavaCaller() {}

    static Outcome trackNull(Refrain client) {
        return client.track(null);
    }

    static Outcome identifyNull(Refrain client) {
        return client.identify(null);
    }

    static Outcome setGroupNull(Refrain client) {
        return client.setGroup("company", null);
    }

    static Outcome trackWithNullProperties(Refrain client) {
        return client.track("Event", null);
    }

    static void startWithNullToken() {
        Refrain.start((String) null, new Settings()).close();
    }

    /** Everything that a program does, without a line of Kotlin. */
    static Consent journey(String endpoint, File folder) throws ConsentException {
        Settings settings = new Settings();
        settings.setEndpoint(endpoint);
        settings.setDataDir(folder);
        settings.setFlushInterval(3600);
        settings.setQueueLimitAge(3600);
        try (Refrain client = Refrain.start("project-token", settings)) {
            client.optInBlocking();
            client.track("Bought", Map.of("item", "umbrella"));
            if (!client.flushBlocking()) {
                throw new AssertionError(client.stats().toString());
            }
            client.signals(true);
            client.optOutBlocking();
            return client.consent();
        }
    }
}
