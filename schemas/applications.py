"""The architectures of ``keras.applications``, by name; loads neither Keras nor TensorFlow."""

PREFIX = "applications/"
PUSHED = "pushed"
IMAGENET = "imagenet"

_OF_MODULE = {
    "convnext": "ConvNeXtTiny ConvNeXtSmall ConvNeXtBase ConvNeXtLarge ConvNeXtXLarge",
    "densenet": "DenseNet121 DenseNet169 DenseNet201",
    "efficientnet": " ".join(f"EfficientNetB{size}" for size in range(8)),
    "efficientnet_v2": (
        "EfficientNetV2B0 EfficientNetV2B1 EfficientNetV2B2 EfficientNetV2B3 EfficientNetV2S "
        "EfficientNetV2M EfficientNetV2L"
    ),
    "inception_resnet_v2": "InceptionResNetV2",
    "inception_v3": "InceptionV3",
    "mobilenet": "MobileNet",
    "mobilenet_v2": "MobileNetV2",
    "mobilenet_v3": "MobileNetV3Small MobileNetV3Large",
    "nasnet": "NASNetMobile NASNetLarge",
    "resnet": "ResNet50 ResNet101 ResNet152",
    "resnet_v2": "ResNet50V2 ResNet101V2 ResNet152V2",
    "vgg16": "VGG16",
    "vgg19": "VGG19",
    "xception": "Xception",
}
APPLICATIONS = {name: module for module, names in _OF_MODULE.items() for name in names.split()}
"""Architecture to the module that holds its ``preprocess_input``."""
