"""LangChain's standard integration tests of a chat model, run on `ChatAnthropic`."""

import os

from langchain_anthropic import ChatAnthropic
from langchain_tests.integration_tests import ChatModelIntegrationTests


class TestEcho(ChatModelIntegrationTests):
    @property
    def chat_model_class(self):
        return ChatAnthropic

    @property
    def chat_model_params(self):
        # Of a name that LangChain takes to permit forced calls, which its structured output is.
        model = {"model": "claude-haiku-4-5", "api_key": "any"}
        return {**model, "base_url": os.environ["ANTHROPIC_BASE_URL"]}

    supports_image_inputs = True
    supports_image_urls = True
    supports_pdf_inputs = True
    supports_image_tool_message = True
    supports_anthropic_inputs = True
    supports_pdf_tool_message = True
    supports_model_override = True
    model_override_value = "claude-sonnet-4-5"
