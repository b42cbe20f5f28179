import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.types.Row;
import org.apache.flink.util.CloseableIterator;

/**
 * Count and sum of purchases by city and minute, from a filled Kafka topic to its end: `Window sql|datastream BROKERS TOPIC
 * WARM CHECKPOINTS PARALLELISM`. One process with a cluster inside; exactly-once checkpoints each second. The same job runs over the
 * topic WARM first, so that classes are loaded and compiled; then the clock starts when the job is submitted and stops with the
 * last window. Prints a line of JSON.
 */
public final class Window {
    public static void main(String[] words) throws Exception {
        Configuration settings = new Configuration();
        settings.setString("execution.checkpointing.interval", "1s");
        settings.setString("execution.checkpointing.dir", words[4]);
        settings.setString("pipeline.object-reuse", "true");
        settings.setString("rest.port", "0");
        settings.setString("taskmanager.memory.network.max", "256m");
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.getExecutionEnvironment(settings);
        environment.setParallelism(Integer.parseInt(words[5]));
        run(words[0], environment, words[1], words[3]);
        System.out.println(run(words[0], environment, words[1], words[2]));
        System.exit(0);
    }

    static String run(String kind, StreamExecutionEnvironment environment, String brokers, String topic) throws Exception {
        long begun, rows = 0, windows = 0;
        double price = 0;
        if (kind.equals("sql")) {
            StreamTableEnvironment tables = StreamTableEnvironment.create(environment);
            tables.getConfig().set("table.local-time-zone", "UTC");
            tables.executeSql("CREATE TEMPORARY TABLE purchases (user_id STRING, product STRING, price DOUBLE, quantity BIGINT, city STRING,"
                + " ts TIMESTAMP_LTZ(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) WITH ('connector' = 'kafka',"
                + " 'topic' = '" + topic + "', 'properties.bootstrap.servers' = '" + brokers + "',"
                + " 'properties.isolation.level' = 'read_committed', 'scan.startup.mode' = 'earliest-offset',"
                + " 'scan.bounded.mode' = 'latest-offset', 'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601')");
            begun = System.nanoTime();
            var result = tables.executeSql("SELECT window_start, city, COUNT(*) AS n, SUM(price) AS price FROM TABLE("
                + "TUMBLE(TABLE purchases, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, city");
            try (CloseableIterator<Row> found = result.collect()) {
                while (found.hasNext()) {
                    Row row = found.next();
                    windows++;
                    rows += ((Number) row.getField("n")).longValue();
                    price += ((Number) row.getField("price")).doubleValue();
                }
            }
        } else {
            KafkaSource<Purchase> source = KafkaSource.<Purchase>builder().setBootstrapServers(brokers).setTopics(topic)
                .setStartingOffsets(OffsetsInitializer.earliest()).setBounded(OffsetsInitializer.latest())
                .setProperty("isolation.level", "read_committed").setValueOnlyDeserializer(new Parse()).build();
            DataStream<Purchase> purchases = environment.fromSource(source,
                WatermarkStrategy.<Purchase>forBoundedOutOfOrderness(Duration.ofSeconds(5)).withTimestampAssigner((one, at) -> one.ts),
                "purchases");
            DataStream<Sums> sums = purchases.keyBy(one -> one.city).window(TumblingEventTimeWindows.of(Duration.ofMinutes(1)))
                .aggregate(new Add());
            begun = System.nanoTime();
            try (CloseableIterator<Sums> found = sums.executeAndCollect()) {
                while (found.hasNext()) {
                    Sums one = found.next();
                    windows++;
                    rows += one.rows;
                    price += one.price;
                }
            }
        }
        double seconds = (System.nanoTime() - begun) / 1e9;
        return "{\"seconds\":" + seconds + ",\"rows\":" + rows + ",\"windows\":" + windows + ",\"price\":" + price + "}";
    }

    /** What the window needs of a record; the whole of it is parsed. */
    public static final class Purchase {
        public String userId, product, city;
        public double price;
        public long quantity, ts;
    }

    public static final class Sums {
        public long rows;
        public double price;
    }

    /** JSON by Jackson's streaming parser, the quickest of the usual ways. */
    static final class Parse implements DeserializationSchema<Purchase> {
        private transient JsonFactory factory;

        @Override
        public Purchase deserialize(byte[] value) throws IOException {
            if (factory == null) factory = new JsonFactory();
            Purchase one = new Purchase();
            try (JsonParser parser = factory.createParser(value)) {
                parser.nextToken();
                while (parser.nextToken() == JsonToken.FIELD_NAME) {
                    String name = parser.currentName();
                    parser.nextToken();
                    switch (name) {
                        case "user_id" -> one.userId = parser.getText();
                        case "product" -> one.product = parser.getText();
                        case "city" -> one.city = parser.getText();
                        case "price" -> one.price = parser.getDoubleValue();
                        case "quantity" -> one.quantity = parser.getLongValue();
                        case "ts" -> one.ts = millis(parser.getText());
                        default -> parser.skipChildren();
                    }
                }
            }
            return one;
        }

        private static long millis(String text) {
            return Instant.parse(text).toEpochMilli();
        }

        @Override
        public boolean isEndOfStream(Purchase one) {
            return false;
        }

        @Override
        public TypeInformation<Purchase> getProducedType() {
            return TypeInformation.of(Purchase.class);
        }
    }

    static final class Add implements AggregateFunction<Purchase, Sums, Sums> {
        @Override
        public Sums createAccumulator() {
            return new Sums();
        }

        @Override
        public Sums add(Purchase one, Sums sums) {
            sums.rows++;
            sums.price += one.price;
            return sums;
        }

        @Override
        public Sums getResult(Sums sums) {
            return sums;
        }

        @Override
        public Sums merge(Sums a, Sums b) {
            a.rows += b.rows;
            a.price += b.price;
            return a;
        }
    }
}
