import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Fills a topic with purchases: `java -cp 'kafka/*' Load.java BROKERS TOPIC PARTITIONS RECORDS RATE PRODUCERS [bare]`.
 *
 * <p>Record `seq` of partition `p` is fixed by the two (see purchases.py), and is the partition's record at offset `seq`:
 * a producer goes on where the partition ends, idempotent, one producer for a partition, with retries without end. RECORDS
 * 0 means until standard input ends; RATE is records/s over all, 0 as many as will go; `bare` leaves `seq` out of the
 * values, which are of about 110 bytes then. Prints `started`, and behind the last
 * acknowledgement one line of JSON: records, seconds and, by partition, the offset behind its last record.
 */
public final class Load {
    static final byte[][] CITIES = bytes("Amsterdam", "Berlin", "Cairo", "Delhi", "Evora", "Florence", "Geneva", "Hanoi");
    static final long FIRST = 1_767_225_600_000L; // 2026-01-01T00:00:00Z in ms
    static final int RUN = 256; // records of a partition in a row, so that its batches fill up
    static volatile boolean ended;
    static boolean bare;

    static byte[][] bytes(String... words) {
        byte[][] all = new byte[words.length][];
        for (int i = 0; i < words.length; i++) all[i] = words[i].getBytes(StandardCharsets.UTF_8);
        return all;
    }

    /** Writes the value of record `seq` of a partition into `to` and returns its length. */
    static int render(byte[] to, int partition, long seq) {
        int at = put(to, 0, "{\"user_id\":\"u");
        at = digits(to, at, (seq * 31 + partition) % 1000, 3);
        at = put(to, at, "\",\"product\":\"p");
        at = digits(to, at, (seq * 7 + partition) % 50, 2);
        at = put(to, at, "\",\"price\":");
        long quarters = (seq * 13 + partition * 7L) % 400;
        at = plain(to, at, quarters / 4);
        to[at++] = '.';
        at = digits(to, at, quarters % 4 * 25, 2);
        at = put(to, at, ",\"quantity\":");
        at = plain(to, at, 1 + (seq * 3 + partition) % 9);
        at = put(to, at, ",\"city\":\"");
        byte[] city = CITIES[(int) ((seq * 5 + partition) % 8)];
        System.arraycopy(city, 0, to, at, city.length);
        at += city.length;
        at = put(to, at, "\",\"ts\":\"2026-01-");
        // Partitions end up in one another's minutes: 4 ms from record to record, for 31 days at most.
        long ms = seq * 4 % 2_678_400_000L;
        at = digits(to, at, 1 + ms / 86_400_000, 2);
        to[at++] = 'T';
        at = digits(to, at, ms / 3_600_000 % 24, 2);
        to[at++] = ':';
        at = digits(to, at, ms / 60_000 % 60, 2);
        to[at++] = ':';
        at = digits(to, at, ms / 1000 % 60, 2);
        to[at++] = '.';
        at = digits(to, at, ms % 1000, 3);
        at = put(to, at, "Z\"");
        if (!bare) {
            at = put(to, at, ",\"seq\":");
            at = plain(to, at, seq);
        }
        to[at++] = '}';
        return at;
    }

    static int put(byte[] to, int at, String text) {
        for (int i = 0; i < text.length(); i++) to[at++] = (byte) text.charAt(i);
        return at;
    }

    static int digits(byte[] to, int at, long value, int width) {
        for (int i = at + width - 1; i >= at; i--) {
            to[i] = (byte) ('0' + value % 10);
            value /= 10;
        }
        return at + width;
    }

    static int plain(byte[] to, int at, long value) {
        int width = 1;
        for (long rest = value / 10; rest > 0; rest /= 10) width++;
        return digits(to, at, value, width);
    }

    static long[] ends(String brokers, String topic, int partitions) {
        Map<String, Object> settings = Map.of("bootstrap.servers", brokers, "default.api.timeout.ms", 120_000);
        try (var reader = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> places = new ArrayList<>();
            for (int p = 0; p < partitions; p++) places.add(new TopicPartition(topic, p));
            long[] ends = new long[partitions];
            reader.endOffsets(places).forEach((place, end) -> ends[place.partition()] = end);
            return ends;
        }
    }

    public static void main(String[] words) throws Exception {
        String brokers = words[0], topic = words[1];
        int partitions = Integer.parseInt(words[2]);
        long records = Long.parseLong(words[3]), rate = Long.parseLong(words[4]);
        int producers = Math.min(Integer.parseInt(words[5]), partitions);
        bare = words.length > 6 && words[6].equals("bare");
        long[] next = ends(brokers, topic, partitions);
        long before = 0;
        for (long end : next) before += end;
        if (records == 0) {
            Thread watch = new Thread(() -> {
                try (InputStream in = System.in) {
                    while (in.read() >= 0) {}
                } catch (java.io.IOException gone) {
                    // As good as its end.
                }
                ended = true;
            });
            watch.setDaemon(true);
            watch.start();
        }
        AtomicReference<Exception> failure = new AtomicReference<>();
        List<Thread> threads = new ArrayList<>();
        long begun = System.nanoTime();
        System.out.println("started");
        System.out.flush();
        for (int own = 0; own < producers; own++) {
            int first = own;
            Thread thread = new Thread(() -> send(brokers, topic, next, first, producers, records, rate, begun, failure));
            threads.add(thread);
            thread.start();
        }
        for (Thread thread : threads) thread.join();
        if (failure.get() != null) {
            System.out.println("{\"error\":\"" + failure.get().toString().replace('"', '\'') + "\"}");
            System.exit(1);
        }
        StringBuilder line = new StringBuilder("{\"seconds\":" + (System.nanoTime() - begun) / 1e9 + ",\"ends\":[");
        long sent = -before;
        for (int p = 0; p < partitions; p++) {
            line.append(p == 0 ? "" : ",").append(next[p]);
            sent += next[p];
        }
        System.out.println(line + "],\"records\":" + sent + "}");
    }

    /** One producer's share: partitions first, first + producers, .. */
    static void send(String brokers, String topic, long[] next, int first, int producers, long records, long rate, long begun,
            AtomicReference<Exception> failure) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", brokers);
        settings.put("enable.idempotence", "true");
        settings.put("acks", "all");
        // With several on their way the topic itself once had records twice behind a kill of the broker, and a case counts what
        // was sent.
        settings.put("max.in.flight.requests.per.connection", bare ? "5" : "1");
        settings.put("compression.type", "lz4");
        settings.put("batch.size", "131072");
        settings.put("linger.ms", rate > 0 ? "2" : "20");
        settings.put("buffer.memory", "67108864");
        settings.put("delivery.timeout.ms", String.valueOf(Integer.MAX_VALUE));
        settings.put("max.block.ms", "600000");
        settings.put("reconnect.backoff.max.ms", "200");
        int partitions = next.length;
        long share = 0; // how many of RECORDS are this producer's
        for (int p = first; p < partitions; p += producers) share += records / partitions + (p < records % partitions ? 1 : 0);
        long[] left = new long[partitions];
        for (int p = first; p < partitions; p += producers) left[p] = records / partitions + (p < records % partitions ? 1 : 0);
        byte[] draft = new byte[256];
        // A paced producer takes turns more often.
        int run = rate > 0 ? 16 : RUN;
        try (var producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            long sent = 0;
            while (!ended && failure.get() == null && (records == 0 || sent < share)) {
                for (int p = first; p < partitions && !ended; p += producers) {
                    int partition = p;
                    for (int i = 0; i < run && (records == 0 || left[p] > 0); i++) {
                        int length = render(draft, p, next[p]);
                        producer.send(new ProducerRecord<>(topic, partition, null, java.util.Arrays.copyOf(draft, length)),
                                (place, error) -> { if (error != null) failure.compareAndSet(null, error); });
                        next[p]++;
                        left[p]--;
                        sent++;
                    }
                    if (rate > 0) {
                        long due = begun + (long) (sent * producers * 1e9 / rate), wait = due - System.nanoTime();
                        if (wait > 0) Thread.sleep(wait / 1_000_000, (int) (wait % 1_000_000));
                    }
                }
            }
            producer.flush();
        } catch (Exception error) {
            failure.compareAndSet(null, error);
        }
    }
}
