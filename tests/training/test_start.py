from favchat.config import AdapterConfig, ModelConfig
from favchat.training.start import unused_settings


def test_given_settings_that_a_trained_model_does_not_follow_are_named(tiny, tmp_path):
    tiny[0].config.save_pretrained(tmp_path)
    # hidden_size was not given: it is as it is there
    adapter = AdapterConfig(num_experts=8, top_k=2, expert_size=64, mirror_faces=True)
    assert unused_settings(ModelConfig(adapter=adapter), str(tmp_path)) == [
        "model.adapter.num_experts = 8 (the model's is 4)",
        "model.adapter.mirror_faces = True (the model's is False)",
    ]
