import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Records at a fixed schedule: `java -cp 'kafka/*' Pace.java BROKERS TOPIC PARTITIONS BATCHES ROWS PERIOD_NS`.
 *
 * <p>Prints `ready` and reads a line: the start, in nanoseconds of the machine's monotonic clock. Batch `n` is due n times
 * PERIOD_NS behind it, and its ROWS records, each with the number, all go to partition n mod PARTITIONS. A batch that is late is
 * sent at once and none is left out. Prints, when all are acknowledged, a line of JSON: the mean size of a value, and for each batch
 * by how much it was late, and how long after it was due the broker had acknowledged it, both in milliseconds.
 */
public final class Pace {
    public static void main(String[] words) throws Exception {
        String topic = words[1];
        int partitions = Integer.parseInt(words[2]), batches = Integer.parseInt(words[3]), rows = Integer.parseInt(words[4]);
        long period = Long.parseLong(words[5]);
        Properties settings = new Properties();
        settings.put("bootstrap.servers", words[0]);
        settings.put("enable.idempotence", "true");
        settings.put("compression.type", "lz4");
        settings.put("linger.ms", "0");
        settings.put("batch.size", "65536");
        AtomicReference<Exception> failure = new AtomicReference<>();
        long bytes = 0;
        long[] late = new long[batches];
        AtomicLongArray acknowledged = new AtomicLongArray(batches);
        try (var producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            producer.partitionsFor(topic);
            System.out.println("ready");
            System.out.flush();
            long start = Long.parseLong(new BufferedReader(new InputStreamReader(System.in)).readLine());
            for (int number = 0; number < batches && failure.get() == null; number++) {
                int partition = number % partitions;
                long wait = start + number * period - System.nanoTime();
                if (wait > 0) Thread.sleep(wait / 1_000_000, (int) (wait % 1_000_000));
                long due = start + number * period;
                int batch = number;
                late[number] = System.nanoTime() - due;
                for (int row = 0; row < rows; row++) {
                    byte[] value = ("{\"key\":\"k" + row + "\",\"region\":\"r" + partition + "\",\"number\":" + number
                        + ",\"amount\":" + row % 500 + ".25,\"ts\":\"2016-01-01T00:00:00." + nine(number) + "Z\"}")
                        .getBytes(StandardCharsets.UTF_8);
                    bytes += value.length;
                    producer.send(new ProducerRecord<>(topic, partition, null, value),
                        (place, error) -> {
                            if (error != null) failure.compareAndSet(null, error);
                            acknowledged.set(batch, System.nanoTime() - due);
                        });
                }
            }
            producer.flush();
        }
        if (failure.get() != null) throw failure.get();
        System.out.println("{\"bytes\":" + bytes / ((double) batches * rows) + ",\"late_ms\":" + millis(late)
            + ",\"acknowledged_ms\":" + millis(acknowledged) + "}");
    }

    static String millis(long[] nanos) {
        return Arrays.stream(nanos).mapToObj(n -> String.format("%.3f", n / 1e6)).collect(Collectors.joining(",", "[", "]"));
    }

    static String millis(AtomicLongArray nanos) {
        return millis(IntStream.range(0, nanos.length()).mapToLong(nanos::get).toArray());
    }

    static String nine(int number) {
        char[] digits = new char[9];
        Arrays.fill(digits, '0');
        for (int i = 8; number > 0; i--, number /= 10) digits[i] = (char) ('0' + number % 10);
        return new String(digits);
    }
}
