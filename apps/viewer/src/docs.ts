/** The API, from the service's own OpenAPI document, in Swagger UI. Nothing is asked of another host. */
import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";
import "swagger-ui-dist/swagger-ui.css";

// Without a validator, because that is a service on the internet which would be sent the document.
SwaggerUI({ url: "/openapi.json", dom_id: "#api", validatorUrl: null, deepLinking: true, docExpansion: "list" });
