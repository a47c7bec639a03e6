// Asks a server over TLS by Java's own client: `java TlsClient.java <port> <connections> <requests>`, a client
// and so a connection each. Prints `SENT <answers with 200>` and stays.
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.List;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509TrustManager;

public class TlsClient {
    /** The certificate is that of a test. */
    static final X509TrustManager ANY = new X509TrustManager() {
        public void checkClientTrusted(X509Certificate[] chain, String type) {}
        public void checkServerTrusted(X509Certificate[] chain, String type) {}
        public X509Certificate[] getAcceptedIssuers() { return new X509Certificate[0]; }
    };

    public static void main(String[] arguments) throws Exception {
        System.setProperty("jdk.internal.httpclient.disableHostnameVerification", "true");
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, new TrustManager[] {ANY}, null);
        URI uri = URI.create("https://localhost:" + arguments[0] + "/ok");
        // Kept, so that no connection is closed and made again.
        List<HttpClient> clients = new ArrayList<>();
        int answers = 0;
        for (int i = 0; i < Integer.parseInt(arguments[1]); i++) {
            HttpClient client = HttpClient.newBuilder()
                .sslContext(context)
                .version(HttpClient.Version.HTTP_1_1)
                .build();
            clients.add(client);
            for (int j = 0; j < Integer.parseInt(arguments[2]); j++) {
                HttpRequest request = HttpRequest.newBuilder(uri).build();
                int status = client.send(request, HttpResponse.BodyHandlers.ofString()).statusCode();
                if (status == 200) answers++;
            }
        }
        System.out.println("SENT " + answers);
        Thread.sleep(600_000);
        System.out.println(clients.size());
    }
}
