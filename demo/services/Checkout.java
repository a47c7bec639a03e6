import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;

/** The shop's orders. Every tenth is checked by hand, which takes 300 ms; what payment refuses is a 500. */
public class Checkout {
    private static final long SLOW_MILLIS = 300;
    private static final HttpClient CLIENT =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    private static final URI CHARGES = URI.create(System.getenv("PAYMENT_URL") + "/charges");

    public static void main(String[] arguments) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 128);
        server.createContext("/orders", Checkout::order);
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.start();
        System.out.println("listening " + server.getAddress().getPort());
    }

    private static void order(HttpExchange exchange) throws IOException {
        String body = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
        if (!exchange.getRequestMethod().equals("POST")) {
            answer(exchange, 405, "only POST\n");
            return;
        }
        long order;
        try {
            order = Long.parseLong(body.trim());
        } catch (NumberFormatException problem) {
            answer(exchange, 400, "the body is not the number of an order\n");
            return;
        }
        int charged;
        try {
            if (order % 10 == 0) {
                Thread.sleep(SLOW_MILLIS);
            }
            HttpRequest charge = HttpRequest.newBuilder(CHARGES)
                    .POST(HttpRequest.BodyPublishers.ofString(Long.toString(order)))
                    .build();
            charged = CLIENT.send(charge, HttpResponse.BodyHandlers.discarding()).statusCode();
        } catch (IOException | InterruptedException problem) {
            charged = 502;
        }
        if (charged == 201) {
            answer(exchange, 201, "ordered\n");
        } else {
            answer(exchange, 500, "the payment failed\n");
        }
    }

    private static void answer(HttpExchange exchange, int status, String text) throws IOException {
        byte[] content = text.getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(status, content.length);
        exchange.getResponseBody().write(content);
        exchange.close();
    }
}
