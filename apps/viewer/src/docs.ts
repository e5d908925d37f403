/** Show the service's OpenAPI document in Swagger UI, without requests to other hosts. */
import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";
import "swagger-ui-dist/swagger-ui.css";

// No validator: it would send the document to a service on the internet.
SwaggerUI({ url: "/openapi.json", dom_id: "#api", validatorUrl: null, deepLinking: true, docExpansion: "list" });
